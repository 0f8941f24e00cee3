"""The steps of a run; see README.md in this folder for who may import whom."""
