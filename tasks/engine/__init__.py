"""The embedded engine: read a video, sample its frames, run detectors, write hosted-style results.

Importing it (or any module in it) opens nothing, starts no thread and changes no global state, so
worker processes may be forked or spawned around it; models and connections are opened by calls.
"""
