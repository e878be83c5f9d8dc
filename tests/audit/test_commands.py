"""``phoenix audit`` as a person uses it: a log proven, carried away, put back elsewhere."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain.delivery_events import ServiceDegraded, SpecAccepted
from domain.event import Event
from domain.intent import IntentQueued
from domain.recorded import Recorded
from infra.settings import BASE_PORTS
from phoenix.cli import app
from phoenix.cli.audit_filter import Filter
from tests.governance.world import intent_of
from tests.integration.system import System
from tests.support.context import T0
from tests.support.ports import free_shift


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("audit")
    small = System(folder / "data", free_shift(), arguments=("--services", "registry"))
    small.start()
    yield small
    if small.process is not None:
        small.stop()


def test_the_log_is_sealed_proven_exported_and_put_back(system: System, tmp_path: Path) -> None:
    sealed = system.json("audit", "seal")
    verdict = system.json("audit", "verify")
    assert verdict["holds"]
    assert verdict["sealed"] == sealed["position"] > 0
    key = system.data_dir / "keys" / "log.pub"

    proof = tmp_path / "two.json"
    system.phoenix("audit", "prove", "2", "--out", str(proof))
    stranger = System(tmp_path / "nobody", free_shift())
    found = stranger.json("audit", "verify", "--proof", str(proof), "--key", str(key))
    assert (found["holds"], found["position"]) == (True, 2)
    proof.write_text(proof.read_text().replace('"position": 2', '"position": 3'))
    offline = ("audit", "verify", "--proof", str(proof), "--key", str(key))
    stranger.phoenix(*offline, expect=1)

    growth = tmp_path / "growth.json"
    system.get("registry", "/health")
    system.phoenix("switchover", "registry")  # something new to seal
    system.phoenix("audit", "prove", str(sealed["position"]), "--growth", "--out", str(growth))
    found = stranger.json("audit", "verify", "--proof", str(growth), "--key", str(key))
    assert found["earlier"] == sealed["position"] < found["later"]

    archive = tmp_path / "log.ndjson.gz"
    exported = system.json("audit", "export", str(archive))
    offline = ("audit", "verify", "--archive", str(archive), "--key", str(key))
    assert stranger.json(*offline)["messages"] == exported["messages"]

    copy = System(tmp_path / "copy" / "data", free_shift(), arguments=system.arguments)
    copy.data_dir.mkdir(parents=True)
    done = copy.json("audit", "import", str(archive), "--key", str(key))
    assert done["last"] == exported["messages"]
    copy.phoenix("audit", "import", str(archive), "--key", str(key), expect=1)  # not empty now
    copy.start()
    copy.json("audit", "seal")
    assert copy.json("audit", "verify")["sealed"] > done["last"]
    theirs = [json.loads(line) for line in copy.phoenix("audit", "show", "--json").splitlines()]
    ours = [json.loads(line) for line in system.phoenix("audit", "show", "--json").splitlines()]
    assert theirs[: done["last"]] == ours[: done["last"]]
    assert copy.stop() == 0


def test_an_orderly_stop_seals_what_is_there(tmp_path: Path) -> None:
    system = System(tmp_path / "data", free_shift(), arguments=("--services", "registry"))
    system.start()
    assert system.stop() == 0
    newest = sorted((system.data_dir / "checkpoints").glob("*.json"))[-1]
    system.start()
    verdict = system.json("audit", "verify")
    assert verdict["holds"]
    assert verdict["sealed"] == json.loads(newest.read_text())["position"]
    assert system.stop() == 0


def test_events_are_found_by_type_actor_service_and_time(system: System) -> None:
    def show(*options: str) -> list[dict[str, object]]:
        lines = system.phoenix("audit", "show", "--json", *options).splitlines()
        return [json.loads(line) for line in lines]

    everything = show()
    taken = show("--type", "LeadershipTaken")
    assert taken
    assert taken == [e for e in everything if ".LeadershipTaken." in str(e["type"])]
    assert show("--service", "registry", "--type", "LeadershipTaken") == taken
    assert show("--type", "phoenix.leadership.LeadershipTaken.v1") == taken
    middle = everything[len(everything) // 2]
    time, last = str(middle["time"]), everything[-1]["position"]  # the log is sealed meanwhile
    assert show("--until", time) == [e for e in everything if str(e["time"]) <= time]
    since = [e for e in show("--since", time) if int(str(e["position"])) <= int(str(last))]
    assert since == [e for e in everything if str(e["time"]) >= time]


def test_a_service_has_the_events_it_wrote_those_about_it_and_those_of_its_intents() -> None:
    def event(position: int, event: Event, intent: str = "", source: str = "x") -> Recorded[Event]:
        return Recorded(
            position=position, event=event, subject=event.subject, id=str(position),
            correlation_id=intent, source=source,
        )  # fmt: skip

    intent = intent_of("Keep prices of articles", service_name="prices")
    queued = IntentQueued(intent_id=intent.intent_id, at=T0, intent=intent, raw_position=1)
    accepted = SpecAccepted(intent_id=intent.intent_id, at=T0, digest="d", score=95, gate=90)
    degraded = ServiceDegraded(name="prices", at=T0, reason="no answer")
    log = [
        event(1, queued, intent.intent_id),
        event(2, accepted, intent.intent_id),
        event(3, degraded),
        event(4, ServiceDegraded(name="stock", at=T0, reason="no answer")),
        event(5, ServiceDegraded(name="stock", at=T0, reason="no answer"), source="prices"),
    ]

    def kept(service: str, after: int = 0) -> list[int]:
        wanted = Filter("", service, "", "", None, None, after)
        return [recorded.position for recorded in log if wanted.keep(recorded)]

    assert kept("prices") == [1, 2, 3, 5]
    assert kept("prices", after=1) == [2, 3, 5]
    assert kept("stock") == [4, 5]
    assert kept("ices") == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--type", "DecisionMad"), "--type: no event is called 'DecisionMad', but DecisionMade"),
        (("--type", "Nonsense"), "docs/events.md"),
        (("--since", "yesterday"), "--since: is no date and time: 'yesterday'"),
        (("--until", "2026-13-01"), "--until"),
        (("--since", "2026-02-02", "--until", "2026-02-01"), "lies before --since"),
        (("--after", "-1"), "--after"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_a_wrong_value_of_a_filter_is_wrong_usage_and_named(
    options: tuple[str, ...], named: str
) -> None:
    done = CliRunner().invoke(app, ["audit", "show", *options], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert named.split(": ")[-1] in done.output
    assert options[-2] in done.output


def test_each_line_says_what_its_event_says(system: System) -> None:
    lines = system.phoenix("audit", "show", "--type", "LeadershipTaken").splitlines()
    assert lines[0].endswith("events.leadership.registry  first start")
    lines = system.phoenix("audit", "show", "--type", "InstanceReady").splitlines()
    assert lines[0].endswith("events.instance.registry")


def test_a_replay_compares_the_services_that_run_and_names_the_others(system: System) -> None:
    answer = system.json("audit", "replay")
    assert [row["service"] for row in answer["services"]] == ["registry"]
    assert answer["equal"] is True
    assert set(answer["not_compared"]) == set(BASE_PORTS) - {"registry"}
