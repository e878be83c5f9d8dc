"""Governance: every intent is assessed, decided by policy and, where policy says so, by people."""
