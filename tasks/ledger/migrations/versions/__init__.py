"""One module per change of the tables, in a chain; ``REVISION`` in the schema names the last."""
