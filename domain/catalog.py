"""Every event type of the platform, imported so that reading a log knows them all."""

from domain import audit, delivery_events, governance_events, instance, intent
from domain.event import EVENT_TYPES

MODULES = (audit, delivery_events, governance_events, instance, intent)

__all__ = ["EVENT_TYPES", "MODULES"]
