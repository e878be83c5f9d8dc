"""Personal values on real JetStream: sealed from the start, and gone once their key is dropped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from domain.errors import TransientError
from infra.nats import api
from infra.nats.connection import read_credentials
from infra.service_kit.personal import KeyLost, WrongKey
from tests.generator.projects import importable, started
from tests.generator.specs import members
from tests.support.nats import Server, running_server

ADA = {"name": "Ada Lovelace-Byron", "email": "ada@lovelace.example", "fee": "12.50"}
CLEAR = (b"Lovelace", b"lovelace", b"1815-12-10", b"Augusta")
Client = TestClient[Litestar]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return importable(members(), tmp_path_factory.mktemp("members"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "nats") as found:
        yield found


@pytest.fixture
def instance(package: str, server: Server, tmp_path: Path) -> Callable[..., Any]:
    """Starts an instance with tables of its own."""
    password = read_credentials(server.data_dir)["app"]
    env = {
        "PERSISTENCE_MODULE": "infra.eventsourcing_jetstream",
        "NATS_URL": f"nats://app:{password}@127.0.0.1:{server.port}",
    }

    @contextmanager
    def start(name: str, within_s: float = 20.0) -> Iterator[tuple[Any, Client]]:
        with started(package, tmp_path / name, env) as (service, client):
            service.views.catch_up(timeout_s=within_s)
            yield service, client

    return start


def call(client: Client, method: str, path: str, expect: int, body: Any = None) -> Any:
    answer = client.request(method, path, json=body)
    assert answer.status_code == expect, answer.text
    return answer.json() if answer.content else None


def ada(client: Client) -> str:
    """A member with a history; return its id."""
    made = call(client, "POST", "/members", 201, ADA)["id"]
    call(client, "PATCH", f"/members/{made}", 200, {"name": "Augusta Lovelace"})
    call(client, "POST", f"/members/{made}/admit", 200, {"born": "1815-12-10"})
    return str(made)


def holding(folder: Path, *texts: bytes) -> list[str]:
    """The files that hold one of the texts."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if any(text in path.read_bytes() for text in texts)]


def test_what_is_personal_is_nowhere_in_the_log_in_clear(
    instance: Any, server: Server, tmp_path: Path
) -> None:
    with instance("one") as (service, client):
        made = ada(client)
        row = call(client, "GET", f"/members/{made}", 200)
        assert (row["name"], row["born"], row["erased"]) == (
            "Augusta Lovelace",
            "1815-12-10",
            False,
        )
        states = [n.state for n in service.app.recorder.select_notifications(None, 100)]
        assert len(states) >= 4
        assert not any(text in state for state in states for text in CLEAR)
        assert any(b"12.50" in state for state in states)  # what is not personal stays readable
    assert not holding(server.data_dir, *CLEAR)
    assert holding(tmp_path / "one", *CLEAR)  # the tables hold what they are asked for


def test_an_erasure_takes_everything_but_the_facts(
    instance: Any, server: Server, tmp_path: Path
) -> None:
    with instance("one") as (service, client), instance("two") as (other, second):
        made = ada(client)
        key = service.app.keys.of(UUID(made))
        assert holding(server.data_dir, key)
        before = call(client, "GET", f"/members/{made}/history", 200)["items"]
        position = client.post(f"/members/{made}/erase")
        assert position.status_code == 204
        other.views.wait(int(position.headers["X-Log-Position"]))
        for reading in (client, second):
            row = call(reading, "GET", f"/members/{made}", 200)
            assert [row[n] for n in ("name", "email", "born")] == [None, None, None]
            assert (row["fee"], row["state"], row["erased"]) == ("12.50", "full", True)
            after = call(reading, "GET", f"/members/{made}/history", 200)["items"]
            assert [e["event"] for e in after] == [*(e["event"] for e in before), "Erased"]
            assert [e["version"] for e in after] == [1, 2, 3, 4]
            assert after[0]["data"]["fields"] == {**ADA, "name": None, "email": None, "born": None}
            assert call(reading, "GET", "/reports/fees", 200)["rows"] == [{"value": "12.50"}]
        assert not holding(server.data_dir, key)
    assert not holding(tmp_path, *CLEAR, key)


def test_an_erased_record_changes_no_more_and_its_unique_values_are_free(instance: Any) -> None:
    with instance("one") as (_, client):
        made = ada(client)
        call(client, "POST", "/members", 409, ADA)
        call(client, "POST", f"/members/{made}/erase", 204)
        call(client, "POST", f"/members/{made}/erase", 204)
        problem = call(client, "PATCH", f"/members/{made}", 409, {"fee": "1"})
        assert "erased" in problem["detail"]
        again = call(client, "POST", "/members", 201, ADA)["id"]
        call(client, "DELETE", f"/members/{made}", 204)
        call(client, "DELETE", f"/members/{again}", 204)
        call(client, "POST", f"/members/{again}/erase", 204)  # a deleted record's history, too
        history = call(client, "GET", f"/members/{again}/history", 200)["items"]
        assert history[0]["data"]["fields"]["name"] is None
        call(client, "POST", "/members/00000000-0000-4000-8000-00000000dead/erase", 404)


def test_tables_are_built_anew_and_an_erasure_that_was_cut_short_is_finished(
    instance: Any, server: Server
) -> None:
    with instance("one") as (service, client):
        made = ada(client)
        kept = call(client, "POST", "/members", 201, {**ADA, "email": "bob@club.example"})["id"]
        key = service.app.keys.of(UUID(made))
        record = service.app.repository.get(UUID(made))
        record.erase()
        service.views.stop()
        service.app.save(record)  # and here the process dies, before it drops the key
    assert holding(server.data_dir, key)
    with instance("anew") as (_, client):
        assert call(client, "GET", f"/members/{made}", 200)["name"] is None
        assert call(client, "GET", f"/members/{kept}", 200)["name"] == ADA["name"]
        assert call(client, "GET", "/members", 200)["total"] == 2
    assert not holding(server.data_dir, key)


def test_a_lost_key_and_a_wrong_one_are_errors_and_no_erasure(
    instance: Any, server: Server
) -> None:
    with instance("one") as (service, client):
        made, other = (
            ada(client),
            call(client, "POST", "/members", 201, {**ADA, "email": "bob@club.example"})["id"],
        )
    with instance("two") as (service, client):
        keys = service.app.keys
        stored = service.app.recorder.select_events(UUID(made))[0]
        keys._cached[made] = keys.of(UUID(other))
        with pytest.raises(WrongKey, match=rf"name of record {made}, version 1"):
            service.app.mapper.to_domain_event(stored)
        keys._cached.clear()
        stream = keys._store._stream
        last = stream.call(stream.last(stream.names.originator(made)))

        async def lose() -> None:
            nc, _, _ = await stream.open()
            await api.call(nc, f"STREAM.MSG.DELETE.{stream.names.stream}", {"seq": last.position})

        stream.call(lose())
        with pytest.raises(KeyLost, match=made):
            service.app.mapper.to_domain_event(stored)
        assert client.get(f"/members/{made}/history").status_code == 500
    with pytest.raises(TransientError), instance("three", within_s=2.0):
        pass  # tables that would be wrong are not served


def test_on_its_own_the_service_keeps_its_keys_beside_its_log(package: str, tmp_path: Path) -> None:
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(tmp_path / "log.sqlite"),
    }
    with started(package, tmp_path / "tables", env) as (service, client):
        made = ada(client)
        key = service.app.keys.of(UUID(made))
    with started(package, tmp_path / "tables", env) as (service, client):
        service.views.catch_up()
        assert call(client, "GET", f"/members/{made}/history", 200)["items"][0]["data"]["fields"]
        call(client, "POST", f"/members/{made}/erase", 204)
    assert not [n for n in holding(tmp_path, *CLEAR, key) if n != "log.sqlite"]
