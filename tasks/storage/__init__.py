"""Stores of objects, whichever cloud or folder: list, sign, read, write. No Prefect, no sibling package."""
