"""Values and errors of reelroute: no I/O, no vendor, no Prefect.

Everything else may import this package; it imports nothing of the project.
"""
