"""The sovereign factory: a SPEC for every cleared intent, verified, scored, improved, accepted."""
