"""The same conformance classes on three servers that keep every stream three times."""

import pytest

from tests.eventsourcing import test_conformance as one
from tests.eventsourcing.support import MODULE


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
