"""Which videos, which model, which routes: pipeline files and settings, read and checked."""
