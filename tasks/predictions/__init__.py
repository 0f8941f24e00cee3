"""Pure functions on predictions: parse results JSON, follow objects, interpolate, make tables."""
