"""The rules: events, deciders and values. Pure: no I/O, no clock, no randomness."""
