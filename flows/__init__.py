"""The order of the steps: Prefect flows, each readable aloud."""
