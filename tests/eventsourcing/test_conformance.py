"""Every conformance class that the library ships, unmodified, on one server.

The classes below say only how a recorder is made and against which server; no test is overridden
or skipped.
"""

import os
from collections.abc import Iterator
from typing import Any, ClassVar
from unittest import TestCase

import pytest
from eventsourcing.dcb import tests as tagged
from eventsourcing.persistence import Transcoder, Transcoding, UUIDAsHex
from eventsourcing.tests import application, persistence, projection
from eventsourcing.utils import Environment

from infra import eventsourcing_jetstream as module
from infra.eventsourcing_jetstream.transcoder import ExactTranscoder
from tests.eventsourcing.support import environment, factory, remove_streams
from tests.eventsourcing.views import JetStreamEventCounters
from tests.support.nats import Server


class OnServer(TestCase):
    """A new store for each test; what a recorder needs is closed after it."""

    factory: module.JetStreamFactory

    @staticmethod
    def settings(request: pytest.FixtureRequest) -> dict[str, str]:
        server: Server = request.getfixturevalue("nats_server")
        return environment(server)

    @pytest.fixture(autouse=True)
    def _server(self, request: pytest.FixtureRequest) -> Iterator[None]:
        env = self.settings(request)
        remove_streams(env)
        before = dict(os.environ)
        os.environ.update(env)
        try:
            yield
        finally:
            for key in env:
                os.environ.pop(key)
            os.environ.update(before)

    def make(self) -> module.JetStreamFactory:
        made = factory({}, "conformance")
        self.addCleanup(made.close)
        return made


class TestAggregateRecorder(OnServer, persistence.AggregateRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.make().aggregate_recorder()


class TestApplicationRecorder(OnServer, persistence.ApplicationRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.make().application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTrackingRecorder(OnServer, persistence.TrackingRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.make().tracking_recorder()


class TestProcessRecorder(OnServer, persistence.ProcessRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.make().process_recorder()


class TestNonInterleaving(OnServer, persistence.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> Any:
        return self.make().application_recorder()


class SubclassedTracking(module.JetStreamTrackingRecorder):
    pass


class TestFactory(OnServer, persistence.InfrastructureFactoryTestCase):  # type: ignore[type-arg]
    def setUp(self) -> None:
        self.env = Environment(env={"PERSISTENCE_MODULE": "infra.eventsourcing_jetstream"})
        super().setUp()

    def expected_factory_class(self) -> Any:
        return module.JetStreamFactory

    def expected_aggregate_recorder_class(self) -> Any:
        return module.JetStreamAggregateRecorder

    def expected_application_recorder_class(self) -> Any:
        return module.JetStreamApplicationRecorder

    def expected_tracking_recorder_class(self) -> Any:
        return module.JetStreamTrackingRecorder

    def tracking_recorder_subclass(self) -> Any:
        return SubclassedTracking

    def expected_process_recorder_class(self) -> Any:
        return module.JetStreamProcessRecorder


class TestExampleApplication(OnServer, application.ExampleApplicationTestCase):
    expected_factory_topic = "infra.eventsourcing_jetstream.factory:JetStreamFactory"


# One of its tests records a warning, which the suite would turn into an error.
@pytest.mark.filterwarnings("always::DeprecationWarning")
class TestApplication(OnServer, application.ApplicationTestCase):
    pass


class TestEventCountersView(OnServer, projection.EventCountersViewTestCase):
    def construct_event_counters_view(self) -> Any:
        return self.make().tracking_recorder(JetStreamEventCounters)


class TestAggregateProjection(OnServer, projection.AggregateEventCountersProjectionTestCase):
    view_class = JetStreamEventCounters


class TestTaggedProjection(OnServer, projection.TaggedDecisionCountersProjectionTestCase):
    view_class = JetStreamEventCounters
    env: ClassVar[dict[str, str]] = {"MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"}


class TestTaggedRecorder(OnServer, tagged.DCBRecorderTestCase):
    def test_append_read(self) -> None:
        self._test_append_read(self.make().dcb_recorder())

    def test_append_subscribe(self) -> None:
        self._test_append_subscribe(self.make().dcb_recorder())


class TestEventSourcedProjection(OnServer, projection.EventSourcedProjectionTestCase):
    pass


class _As(Transcoding):
    """A subclass of a basic type as that type."""

    def encode(self, obj: Any) -> Any:
        return self.basic(obj)

    def decode(self, data: Any) -> Any:
        return self.type(data)

    basic: Any


class MyDictAsDict(_As):
    type, name, basic = persistence.Mydict, "mydict", dict


class MyListAsList(_As):
    type, name, basic = persistence.MyList, "mylist", list


class MyStrAsStr(_As):
    type, name, basic = persistence.MyStr, "mystr", str


class MyIntAsInt(_As):
    type, name, basic = persistence.MyInt, "myint", int


class TestTranscoder(OnServer, persistence.TranscoderTestCase):
    def construct_transcoder(self) -> Transcoder:
        transcoder = ExactTranscoder()
        for kind in (MyDictAsDict, MyListAsList, MyStrAsStr, MyIntAsInt):
            transcoder.register(kind())
        for shipped in (UUIDAsHex, persistence.CustomType1AsDict, persistence.CustomType2AsDict):
            transcoder.register(shipped())
        return transcoder
