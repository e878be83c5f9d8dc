"""The infrastructure factory: what the environment says becomes recorders.

``NATS_URL``       one or more addresses, separated by commas; ``nats://user:password@host:port``
``NATS_CREDS``     a credentials file
``NATS_REPLICAS``  how many servers keep each stream (1, 3 or 5)
``NATS_TIMEOUT``   seconds until a call gives up when the server is away
``CREATE_TABLE``   "no": the streams exist already
"""

import os
from pathlib import Path
from typing import Any

from eventsourcing.dcb.api import DCBRecorder
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool

from infra.eventsourcing_jetstream.dcb import JetStreamDCBRecorder
from infra.eventsourcing_jetstream.hub import Lease, Target, lease
from infra.eventsourcing_jetstream.keys import JetStreamKeys
from infra.eventsourcing_jetstream.names import (
    DCB,
    DEFAULT_APPLICATION,
    EVENTS,
    KEYS,
    TRACKING,
    Names,
)
from infra.eventsourcing_jetstream.recorders import (
    JetStreamAggregateRecorder,
    JetStreamApplicationRecorder,
    JetStreamProcessRecorder,
    JetStreamTrackingRecorder,
)
from infra.eventsourcing_jetstream.stream import AppStream

DEFAULT_URL = "nats://127.0.0.1:4222"
REPLICAS = (1, 3, 5)


class JetStreamFactory(
    InfrastructureFactory[JetStreamTrackingRecorder],
    DCBInfrastructureFactory[JetStreamTrackingRecorder],
):
    """Makes recorders on JetStream; ``close`` gives the connection back and never waits."""

    NATS_URL = "NATS_URL"
    NATS_CREDS = "NATS_CREDS"
    NATS_REPLICAS = "NATS_REPLICAS"
    NATS_TIMEOUT = "NATS_TIMEOUT"
    CREATE_TABLE = "CREATE_TABLE"

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Read the settings.

        Raises:
            OSError: one of them is wrong; the text names it.
        """
        super().__init__(env)
        self._replicas = self._whole(self.NATS_REPLICAS, 1)
        if self._replicas not in REPLICAS:
            raise OSError(f"{self.NATS_REPLICAS} is {self._replicas}; it can be 1, 3 or 5")
        creds = self._setting(self.NATS_CREDS)
        if creds and not Path(creds).is_file():
            raise OSError(f"{self.NATS_CREDS}: there is no file {creds}")
        url = self._setting(self.NATS_URL) or DEFAULT_URL
        self._target = Target(url, creds, float(self._whole(self.NATS_TIMEOUT, 10)))
        self._lease: Lease | None = None
        self._closed = False

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Raises OperationalError: the server is away."""
        return JetStreamAggregateRecorder(self._stream(purpose))

    def application_recorder(self) -> ApplicationRecorder:
        """Raises OperationalError: the server is away."""
        topic = self.APPLICATION_RECORDER_TOPIC
        cls: type[JetStreamApplicationRecorder] = self._class(topic, JetStreamApplicationRecorder)
        return cls(self._stream(EVENTS))

    def tracking_recorder(
        self, tracking_recorder_class: type[JetStreamTrackingRecorder] | None = None
    ) -> JetStreamTrackingRecorder:
        """Raises OperationalError: the server is away."""
        cls: type[JetStreamTrackingRecorder] = tracking_recorder_class or self._class(
            self.TRACKING_RECORDER_TOPIC, JetStreamTrackingRecorder
        )
        return cls(self._stream(TRACKING))

    def process_recorder(self) -> ProcessRecorder:
        """Raises OperationalError: the server is away."""
        topic = self.PROCESS_RECORDER_TOPIC
        cls: type[JetStreamProcessRecorder] = self._class(topic, JetStreamProcessRecorder)
        return cls(self._stream(EVENTS))

    def dcb_recorder(self) -> DCBRecorder:
        """Raises OperationalError: the server is away."""
        return JetStreamDCBRecorder(self._stream(DCB))

    def key_store(self) -> JetStreamKeys:
        """Where keys of personal values are kept; its calls raise OperationalError."""
        return JetStreamKeys(self._stream(KEYS))

    def close(self) -> None:
        """Give the connection back; recorders made here can no longer be used."""
        self._closed = True
        if self._lease is not None:
            self._lease.close()

    def _stream(self, purpose: str) -> AppStream:
        if self._lease is None or (self._lease.closed and not self._closed):
            self._lease = lease(self._target)
        names = Names(self.env.name or DEFAULT_APPLICATION, purpose)
        create = bool(strtobool(self.env.get(self.CREATE_TABLE) or "yes"))
        return AppStream(self._lease, names, replicas=self._replicas, create=create)

    def _class(self, key: str, default: type[Any]) -> type[Any]:
        topic = self.env.get(key)
        return resolve_topic(topic) if topic else default

    def _setting(self, key: str) -> str:
        """The application's own setting, else the process's."""
        return (self.env.get(key) or os.environ.get(key) or "").strip()

    def _whole(self, key: str, default: int) -> int:
        text = self._setting(key)
        if not text:
            return default
        if not text.isdecimal() or int(text) < 1:
            raise OSError(f"{key} is {text!r}; a whole number above 0 is expected")
        return int(text)
