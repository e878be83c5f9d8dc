"""From an accepted SPEC to a running service: generate, test, package, sign, deploy, prove."""
