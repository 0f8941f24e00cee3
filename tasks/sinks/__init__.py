"""Places where predictions go; each sink is one implementation of ``base.Sink``."""
