"""The authorities that our HTTP clients trust, read once when this module is imported.

Every ``httpx.AsyncClient`` without it reads them anew: 20 to 40 ms of CPU in which the event loop
stands still. Instances are forked from a process that has imported this, and a leader that has just
taken over has no time to lose.
"""

import httpx

TRUST = httpx.create_ssl_context(trust_env=False)
