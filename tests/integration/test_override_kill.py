"""An override opens an intent once, also when the intent-queue's leader dies or sleeps over it."""

import contextlib
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.system import System, until
from tests.support.ports import free_shift

pytestmark = pytest.mark.timeout(300)

THINGS = (
    "sales",
    "parcels",
    "rooms",
    "bicycles",
    "books",
    "gardens",
    "tickets",
    "trains",
    "songs",
    "plants",
    "boats",
    "games",
)
KILLED_OVER = frozenset(THINGS[2::3])
SLEPT_OVER = "plants"


def test_every_override_leads_to_one_new_attempt_whoever_leads(tmp_path: Path) -> None:
    arguments = ("--services", "intent-queue,governance")
    system = System(tmp_path / "data", free_shift(), arguments=arguments)
    system.start()
    try:
        ids = {thing: submitted(system, thing) for thing in THINGS}
        for intent_id in ids.values():
            system.wait_for(intent_id, "blocked")
        for thing, intent_id in ids.items():
            leader = leading(system)
            if thing == SLEPT_OVER:  # the next one acts; then this one wakes and thinks it leads
                os.kill(int(leader["pid"]), signal.SIGSTOP)
            override(system, intent_id)
            if thing == SLEPT_OVER:
                until(partial(decided_twice, system, intent_id), timeout_s=10)
                wake(int(leader["pid"]))
            if thing in KILLED_OVER:  # what follows from it is the leader's, this very moment
                os.kill(int(leader["pid"]), signal.SIGKILL)
                until(partial(led_by_another, system, leader["pid"]), timeout_s=10)
        for intent_id in ids.values():
            found = system.wait_for(intent_id, "spec_generation")
            assert (found["attempt"], found["governance_decision"]) == (2, "auto_approve")
            timeline = system.get("intent-queue", f"/intents/{intent_id}/timeline")
            types = [line["type"] for line in timeline["items"]]
            assert types.count("DecisionOverridden") == types.count("IntentFailed") == 1
            assert types.count("IntentQueued") == types.count("DecisionMade") == 2
        assert system.stop() == 0
    finally:
        if system.process is not None and system.process.poll() is None:
            system.stop()


def leading(system: System) -> dict[str, Any]:
    """Who leads; the one that was woken may take the question and end before it answers."""
    found: dict[str, Any] = {}

    def said() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            found.update(system.leader("intent-queue"))
        return bool(found)

    until(said, timeout_s=10)
    return found


def override(system: System, intent_id: str) -> None:
    body = {"intent_id": intent_id, "decision": "auto_approve", "reason": "a joke"}
    system.post("governance", "/governance/override", body, expect=200)


def decided_twice(system: System, intent_id: str) -> bool:
    found = system.get("governance", "/governance/decisions", intent_id=intent_id)
    return bool(found["total"] == 2)


def wake(pid: int) -> None:
    """Let it go on; it may have been replaced as hung."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def submitted(system: System, thing: str) -> str:
    # Few words in common: the one before may still be open, and what is alike is refused.
    body = {"service_name": f"list-of-{thing}", "purpose": f"Falsify the audit log about {thing}"}
    return str(system.post("intent-queue", "/intents/submit", body)["intent_id"])


def led_by_another(system: System, pid: int) -> bool:
    try:
        now = system.leader("intent-queue")
    except (httpx.HTTPError, AssertionError):
        return False
    return bool(now["pid"] != pid and now["role"] == "active")
