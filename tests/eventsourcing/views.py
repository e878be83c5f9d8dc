"""A view on JetStream, as a reader of the module would write it: two counters."""

from collections.abc import Mapping

from eventsourcing.persistence import Tracking
from eventsourcing.tests.projection import EventCountersView

from infra.eventsourcing_jetstream import JetStreamTrackingRecorder


class JetStreamEventCounters(JetStreamTrackingRecorder, EventCountersView):
    def get_created_event_counter(self) -> int:
        return int(self.value("created") or 0)

    def get_subsequent_event_counter(self) -> int:
        return int(self.value("subsequent") or 0)

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self._count("created", tracking)

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self._count("subsequent", tracking)

    def _count(self, key: str, tracking: Tracking) -> None:
        def one_more(values: Mapping[str, bytes | None]) -> dict[str, bytes]:
            return {key: str(int(values[key] or 0) + 1).encode()}

        self.insert_tracking(tracking, (key,), one_more)
