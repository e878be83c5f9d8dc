"""What a generated service answers: every status, cursors, histories, reports, races."""

import importlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from infra.service_kit.read_model import ReadModel
from tests.generator.projects import importable, started
from tests.generator.specs import ALL

Client = TestClient[Litestar]
NOBODY = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The import names of the three services."""
    directory = tmp_path_factory.mktemp("generated")
    return {name: importable(spec(), directory / name) for name, spec in ALL.items()}


@pytest.fixture
def desk(packages: dict[str, str], tmp_path: Path) -> Iterator[Client]:
    with started(packages["tickets"], tmp_path) as found:
        yield found[1]


@pytest.fixture
def stock(packages: dict[str, str], tmp_path: Path) -> Iterator[Client]:
    with started(packages["inventory"], tmp_path) as found:
        yield found[1]


@pytest.fixture
def money(packages: dict[str, str], tmp_path: Path) -> Iterator[Client]:
    with started(packages["revenue"], tmp_path) as found:
        yield found[1]


def post(client: Client, path: str, body: Any = None, *, status: int = 201, **more: Any) -> Any:
    answer = client.post(path, json=body, **more)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["status"] == status
    return answer.json()


def customer(client: Client, number: int = 1) -> str:
    body = {"name": f"C{number}", "email": f"c{number}@example.org"}
    return str(post(client, "/customers", body)["id"])


def ticket(client: Client, **fields: Any) -> Any:
    body = {"title": "T", "customer": fields.pop("customer", None) or customer(client), **fields}
    return post(client, "/tickets", body)


def test_a_created_record_can_be_read_at_once_with_its_position(desk: Client) -> None:
    made = ticket(desk, due="2030-01-02", timestamp="2030-01-02T10:00:00+02:00")
    position = made.pop("position")
    assert position == 3  # the customer, its address, the ticket
    assert desk.get(f"/tickets/{made['id']}").json() == made
    assert made["version"] == 1
    assert made["state"] == "open"
    assert made["urgency"] == 3
    assert made["timestamp"] == "2030-01-02T08:00:00Z"
    assert made["created_at"] == made["updated_at"]


def test_wrong_input_names_each_field(desk: Client) -> None:
    body = {"title": "", "customer": "nobody", "urgency": 6, "due": "tomorrow", "colour": "red"}
    problem = post(desk, "/tickets", body, status=422)
    named = {error["field"] for error in problem["errors"]}
    assert named == {"title", "customer", "urgency", "due", "colour"}


def test_a_reference_to_nothing_is_refused_and_named(desk: Client) -> None:
    problem = post(desk, "/tickets", {"title": "T", "customer": NOBODY}, status=422)
    assert problem["field"] == "customer"
    made = ticket(desk)
    answer = desk.patch(f"/tickets/{made['id']}", json={"customer": made["id"]})
    assert answer.status_code == 422, "a ticket is not a customer"


def test_what_others_refer_to_stays(desk: Client) -> None:
    owner = customer(desk)
    made = ticket(desk, customer=owner)
    answer = desk.delete(f"/customers/{owner}")
    assert answer.status_code == 409
    assert "tickets" in answer.json()["detail"]
    post(desk, f"/tickets/{made['id']}/cancel", status=200)
    assert desk.delete(f"/tickets/{made['id']}").status_code == 204
    assert desk.delete(f"/customers/{owner}").status_code == 204


def test_commands_move_through_the_states_and_no_other_way(desk: Client) -> None:
    path = f"/tickets/{ticket(desk)['id']}"
    refused = post(desk, f"{path}/mark_done", status=409)
    assert "has to be assigned" in refused["detail"]
    assert post(desk, f"{path}/assign", {}, status=422)["field"] == "agent"
    done = post(desk, f"{path}/assign", {"agent": "agent-1"}, status=200)
    assert (done["state"], done["agent"], done["version"]) == ("assigned", "agent-1", 2)
    post(desk, f"{path}/mark_done", status=200)
    post(desk, f"{path}/mark_done", status=409)
    assert desk.get(path).json()["state"] == "done"
    assert desk.patch(path, json={"state": "open"}).status_code == 422


def test_a_rule_refuses_with_its_own_message(desk: Client) -> None:
    made = ticket(desk, urgency=5, due="2030-02-01")
    path = f"/tickets/{made['id']}"
    refused = post(desk, f"{path}/cancel", status=409)
    assert refused["detail"] == "a ticket of urgency 5 cannot be cancelled"
    refused = post(desk, f"{path}/assign", {"agent": "bob"}, status=409)
    assert refused["detail"] == "an agent is called agent-..."
    earlier = desk.patch(path, json={"due": "2030-01-31"})
    assert (earlier.status_code, earlier.json()["detail"]) == (409, "a due day only moves on")
    assert desk.patch(path, json={"due": "2030-02-02"}).json()["due"] == "2030-02-02"
    assert desk.patch(path, json={"due": None}).json()["due"] is None
    assert desk.delete(path).json()["detail"] == "only tickets that have ended can be deleted"


def test_a_patch_changes_what_is_given_and_nothing_else(desk: Client) -> None:
    made = ticket(desk, urgency=4, agent="x")
    path = f"/tickets/{made['id']}"
    changed = desk.patch(path, json={"title": "New"}).json()
    assert changed["version"] == 2
    assert {n: changed[n] for n in ("title", "urgency", "agent")} == {
        "title": "New",
        "urgency": 4,
        "agent": "x",
    }
    same = desk.patch(path, json={"title": "New"}).json()
    assert same["version"] == 2, "nothing changed: no event"
    assert desk.patch(path, json={"urgency": None}).json()["urgency"] == 3, "back to its default"
    assert desk.patch(path, json={"title": None}).json()["field"] == "title"


def test_deleted_is_gone_but_not_forgotten(desk: Client) -> None:
    path = f"/customers/{customer(desk)}"
    assert desk.delete(path).status_code == 204
    assert desk.get(path).status_code == 404
    assert desk.patch(path, json={"name": "x"}).status_code == 404
    assert desk.delete(path).status_code == 404
    assert desk.get("/customers").json()["total"] == 0
    events = desk.get(f"{path}/history").json()["items"]
    assert [event["event"] for event in events] == ["Created", "Deleted"]


def test_a_history_tells_what_happened_and_can_be_paged(desk: Client) -> None:
    path = f"/tickets/{ticket(desk)['id']}"
    desk.patch(path, json={"urgency": 1})
    post(desk, f"{path}/assign", {"agent": "agent-2"}, status=200)
    post(desk, f"{path}/mark_done", status=200)
    whole = desk.get(f"{path}/history").json()
    assert [e["event"] for e in whole["items"]] == ["Created", "Updated", "Assigned", "MarkedDone"]
    assert whole["items"][1]["data"] == {"changes": {"urgency": 1}}
    assert whole["cursor"] == ""
    first = desk.get(f"{path}/history?limit=3").json()
    rest = desk.get(f"{path}/history?limit=3&cursor={first['cursor']}").json()
    assert first["items"] + rest["items"] == whole["items"]
    assert desk.get(f"/customers/{path[9:]}/history").status_code == 404, "of another record"


def test_a_list_is_filtered_and_paged_without_gaps_or_repeats(stock: Client) -> None:
    for number in range(7):
        body = {"sku": f"s{number}", "count": number, "fragile": number % 2 == 0, "price": "1.50"}
        post(stock, "/items", body)
    seen, cursor = [], ""
    while True:
        page = stock.get(f"/items?limit=3&cursor={cursor}").json()
        assert page["total"] == 7
        seen += [item["sku"] for item in page["items"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert seen == [f"s{number}" for number in range(7)]
    fragile = stock.get("/items?fragile=true").json()
    assert [item["count"] for item in fragile["items"]] == [0, 2, 4, 6]
    assert all(item["fragile"] is True for item in fragile["items"])
    assert stock.get("/items?price=1.5").json()["total"] == 7, "1.5 and 1.50 are one number"
    assert stock.get("/items?price=1.6").json()["total"] == 0
    assert stock.get("/items?count=3&sku=s3").json()["total"] == 1
    assert stock.get("/items?count=many").status_code == 422


@pytest.mark.parametrize(
    "query",
    ["price=NaN", "price=x", f"count={10**30}", "made_on=2030", "fragile=maybe", "size=XXL"],
)
def test_a_filter_that_no_value_could_match_is_refused_and_named(stock: Client, query: str) -> None:
    answer = stock.get(f"/items?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "body", [b'{"sku": "\xff"}', b"[" * 100_000, b'{"sku": "\\ud800"}', b"{", b'{"count": 1e400}']
)
def test_a_body_that_cannot_be_read_is_refused(stock: Client, body: bytes) -> None:
    answer = stock.post("/items", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_text_is_kept_as_it_is(stock: Client) -> None:
    for text in ("a\0b", "\u202e", "'; DROP TABLE x;--", "{{ x }}", "\U0001f600"):
        made = post(stock, "/items", {"sku": text, "count": 1})
        assert made["sku"] == text
        found = stock.get("/items", params={"sku": text}).json()
        assert [item["id"] for item in found["items"]] == [made["id"]]


def test_every_type_comes_back_as_it_was_given(stock: Client) -> None:
    body = {
        "sku": "all",
        "count": 0,
        "price": "9999.99",
        "fragile": True,
        "made_on": "2000-01-01",
        "checked_at": "2000-01-01T00:00:00Z",
        "contact": "a@b.example",
        "size": "extra-large",
        "batch": "00000000-0000-4000-8000-000000000001",
        "weight": "0.10",
    }
    made = post(stock, "/items", body)
    assert {name: made[name] for name in body} == body
    child = post(stock, "/items", {"sku": "child", "count": 1, "parent": made["id"]})
    assert stock.get(f"/items?parent={made['id']}").json()["items"][0]["id"] == child["id"]


def test_a_unique_value_belongs_to_one_until_it_is_released(stock: Client) -> None:
    first = post(stock, "/items", {"sku": "a", "count": 1, "contact": "Ann@b.example"})
    refused = post(stock, "/items", {"sku": "a", "count": 2}, status=409)
    assert "sku" in refused["detail"]
    post(stock, "/items", {"sku": "b", "count": 2, "contact": "ann@B.example"}, status=409)
    second = post(stock, "/items", {"sku": "b", "count": 2, "weight": "1.50"})
    post(stock, "/items", {"sku": "c", "count": 2, "weight": "1.5"}, status=409)
    taken = stock.patch(f"/items/{second['id']}", json={"sku": "a"})
    assert taken.status_code == 409
    moved = stock.patch(f"/items/{first['id']}", json={"sku": "a2"})
    assert moved.status_code == 200
    assert stock.patch(f"/items/{second['id']}", json={"sku": "a"}).status_code == 200
    assert stock.delete(f"/items/{second['id']}").status_code == 204
    post(stock, "/items", {"sku": "a", "count": 3, "weight": "1.5"})


def test_of_many_at_once_one_gets_the_unique_value(stock: Client) -> None:
    def claim(number: int) -> int:
        return stock.post("/items", json={"sku": "only", "count": number}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(claim, range(24)))
    assert sorted(statuses) == [201] + [409] * 23
    assert stock.get("/items?sku=only").json()["total"] == 1


def test_of_many_changes_at_once_none_is_lost(stock: Client) -> None:
    path = f"/items/{post(stock, '/items', {'sku': 'x', 'count': 0})['id']}"

    def change(number: int) -> int:
        return stock.patch(path, json={"count": number}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(change, range(1, 25))) == {200}
    events = stock.get(f"{path}/history").json()["items"]
    assert [event["version"] for event in events] == list(range(1, 26))


def test_under_load_every_answer_shows_what_it_did(stock: Client) -> None:
    def make_and_change(number: int) -> int:
        made = post(stock, "/items", {"sku": f"s{number}", "count": 0})
        stock.get("/items?limit=1")
        changed = stock.patch(f"/items/{made['id']}", json={"count": number}).json()
        assert changed["count"] == number
        read = stock.get(f"/items/{made['id']}?after={changed['position']}").json()
        return int(read["count"])

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(make_and_change, range(120))) == list(range(120))


def test_the_same_request_twice_with_a_key_is_one_record(stock: Client) -> None:
    key = {"Idempotency-Key": "order-77"}
    first = post(stock, "/items", {"sku": "k", "count": 1}, headers=key)
    again = post(stock, "/items", {"sku": "k", "count": 1}, headers=key)
    assert again["id"] == first["id"]
    assert stock.get("/items").json()["total"] == 1


def test_sums_are_exact_and_grouped_by_month(money: Client) -> None:
    total = Decimal(0)
    for day in range(1, 31):
        amount = Decimal("0.1") * day
        total += amount
        body = {"customer": "A", "amount": str(amount), "booked_on": f"2026-04-{day:02d}"}
        post(money, "/revenues", body)
    large = {"customer": "B", "amount": "12345678901234567890.01", "booked_on": "2026-05-01"}
    post(money, "/revenues", {**large, "note": "big", "channel": "shop"})
    rows = money.get("/reports/revenue_by_month").json()["rows"]
    assert rows == [
        {"month": "2026-04", "value": str(total)},
        {"month": "2026-05", "value": "12345678901234567890.01"},
    ]
    web = money.get("/reports/web-revenue").json()["rows"]
    expected = sum(Decimal("0.1") * day for day in range(10, 31))
    assert web == [{"channel": "web", "year": "2026", "value": str(expected)}]
    average = money.get("/reports/average").json()["rows"]
    mean = (total + Decimal(large["amount"])) / 31
    assert Decimal(average[0]["value"]) == pytest.approx(mean, rel=Decimal("1e-25"))


def test_reports_follow_changes_and_deletions(stock: Client) -> None:
    first = post(stock, "/items", {"sku": "a", "count": 5, "price": "10", "size": "S"})
    post(stock, "/items", {"sku": "b", "count": 7, "price": "9.5", "fragile": True})

    def report(name: str) -> Any:
        return stock.get(f"/reports/{name}").json()["rows"]

    assert report("stock") == [{"value": 12}]
    assert report("cheapest") == [{"value": "9.5"}], "as numbers, not as text"
    assert report("by_kind") == [
        {"fragile": False, "size": "S", "value": 1},
        {"fragile": True, "size": None, "value": 1},
    ]
    stock.patch(f"/items/{first['id']}", json={"count": 1})
    assert report("stock") == [{"value": 8}]
    stock.delete(f"/items/{first['id']}")
    assert report("stock") == [{"value": 7}]
    assert stock.get("/reports/nothing").status_code == 404


def test_reading_after_a_position_waits_and_says_when_it_cannot(
    stock: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    position = post(stock, "/items", {"sku": "a", "count": 5})["position"]
    assert stock.get(f"/items?after={position}").json()["total"] == 1

    async def soon(self: Any, position: int, *, timeout_s: float) -> None:
        await reach(self, position, timeout_s=0.05)

    reach: Callable[..., Any] = ReadModel.reach
    monkeypatch.setattr(ReadModel, "reach", soon)
    answer = stock.get(f"/items?after={position + 1}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def test_the_schema_describes_the_service(desk: Client) -> None:
    paths = desk.get("/schema/openapi.json").json()["paths"]
    assert "/tickets/{record_id}/assign" in paths
    names = {parameter["name"] for parameter in paths["/tickets"]["get"]["parameters"]}
    assert names >= {"title", "state", "limit", "cursor"}


@pytest.mark.parametrize("damage", ["none", "deleted", "garbage"])
def test_everything_is_there_after_a_restart(
    packages: dict[str, str], tmp_path: Path, damage: str
) -> None:
    env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(tmp_path / "log")}
    with started(packages["tickets"], tmp_path / "x", env) as (_, client):
        made = ticket(client)
        path = f"/tickets/{made['id']}"
        post(client, f"{path}/assign", {"agent": "agent-1"}, status=200)
        before = client.get(path).json()
    for file in (tmp_path / "x").glob("read-model-*"):
        if damage == "deleted":
            file.unlink()
        elif damage == "garbage":
            file.write_bytes(b"not a database" * 100)
    with started(packages["tickets"], tmp_path / "x", env) as (service, client):
        service.views.catch_up(timeout_s=10.0)
        assert client.get(path).json() == before
        assert service.figures()["records"] == {"customers": 1, "tickets": 1, "comments": 0}


def test_tables_of_another_version_are_kept_for_a_day(
    packages: dict[str, str], tmp_path: Path
) -> None:
    recent, old = (tmp_path / f"read-model-{name}.sqlite" for name in ("recent", "old"))
    for file in (recent, old):
        file.write_bytes(b"")
    os.utime(old, (time.time() - 90_000,) * 2)
    with started(packages["inventory"], tmp_path):
        assert recent.exists()
        assert not old.exists()


def test_rows_and_position_change_together(packages: dict[str, str], tmp_path: Path) -> None:
    with started(packages["inventory"], tmp_path) as (_, client):
        for number in range(5):
            post(client, "/items", {"sku": f"s{number}", "count": number})
    (file,) = tmp_path.glob("read-model-*.sqlite")
    db = sqlite3.connect(file)
    db.create_collation("exact", lambda a, b: (a > b) - (a < b))
    assert db.execute("SELECT position FROM checkpoint").fetchone() == (10,)
    assert db.execute("SELECT count(*) FROM items").fetchone() == (5,)
    db.close()


def test_an_event_that_cannot_be_folded_is_tried_again(
    packages: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = importlib.import_module(f"{packages['inventory']}.views").Views
    insert, failures = views.insert, [RuntimeError("disk full")]

    def failing(self: Any, *args: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        insert(self, *args, **more)

    monkeypatch.setattr(views, "insert", failing)
    with started(packages["inventory"], tmp_path) as (service, client):
        made = post(client, "/items", {"sku": "a", "count": 1})
        assert client.get(f"/items/{made['id']}").status_code == 200
        assert not failures
        assert service.views.problem == ""
