"""The same conformance classes on three servers that keep every stream three times."""

from collections.abc import Iterator

import pytest

from tests.eventsourcing import test_conformance as one
from tests.support.cluster import running_cluster
from tests.eventsourcing.support import MODULE


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


class OnThree(one.OnServer):
    @staticmethod
    def settings(request: pytest.FixtureRequest) -> dict[str, str]:
        url: str = request.getfixturevalue("cluster")
        return {"PERSISTENCE_MODULE": MODULE, "NATS_URL": url, "NATS_REPLICAS": "3"}


def _classes() -> dict[str, type]:
    found = {}
    for name, value in vars(one).items():
        if (
            isinstance(value, type)
            and issubclass(value, one.OnServer)
            and value is not one.OnServer
        ):
            found[name] = type(name, (OnThree, value), {"__module__": __name__})
    return found


globals().update(_classes())
