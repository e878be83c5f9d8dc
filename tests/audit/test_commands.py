"""``phoenix audit`` as a person uses it: a log proven, carried away, put back elsewhere."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.system import System
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
    middle = everything[len(everything) // 2]
    before = show("--until", str(middle["time"]))
    after = show("--since", str(middle["time"]))
    assert middle in before
    assert middle in after
    assert len(before) + len(after) <= len(everything) + len(
        [e for e in everything if e["time"] == middle["time"]]
    )
