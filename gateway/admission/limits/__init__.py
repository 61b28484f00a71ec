"""How many may be in flight: one policy a file."""
