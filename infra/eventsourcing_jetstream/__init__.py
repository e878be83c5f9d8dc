"""A persistence module for the ``eventsourcing`` library on NATS JetStream.

Chosen the library's own way: ``PERSISTENCE_MODULE=infra.eventsourcing_jetstream``; the settings
are in ``factory.py``, the promises in ``docs/eventsourcing.md``.
"""

from infra.eventsourcing_jetstream.factory import JetStreamFactory
from infra.eventsourcing_jetstream.recorders import (
    JetStreamAggregateRecorder,
    JetStreamApplicationRecorder,
    JetStreamProcessRecorder,
    JetStreamTrackingRecorder,
)
from infra.eventsourcing_jetstream.subscription import JetStreamSubscription

Factory = JetStreamFactory

__all__ = [
    "Factory",
    "JetStreamAggregateRecorder",
    "JetStreamApplicationRecorder",
    "JetStreamFactory",
    "JetStreamProcessRecorder",
    "JetStreamSubscription",
    "JetStreamTrackingRecorder",
]
