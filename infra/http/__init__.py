"""The HTTP face of every service: UDC, health, metrics, identity, problem details."""

from infra.http.app import build_app
from infra.http.identity import person_of
from infra.http.listing import listing
from infra.http.requests import command_id, now

__all__ = ["build_app", "command_id", "listing", "now", "person_of"]
