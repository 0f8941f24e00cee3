"""Servers of our own; each is a package."""
