"""What the log's events come to: outages, unknown time, budget, recoveries and cost."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.event import Event
from domain.instance import (
    InstanceDied,
    InstancePromoted,
    InstanceReady,
    InstanceStarted,
    LeadershipReleased,
    LeadershipTaken,
    OutageBegan,
    OutageEnded,
    WatchResumed,
)
from domain.recorded import Recorded
from projections.instances import GROUPS, Group
from projections.uptime import KEPT, UPTIME, Uptime
from projections.uptime_report import TARGET, WINDOWS, Report, Window, cost, report

T0 = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def folded(events: Sequence[Event], row: Uptime | None = None) -> Uptime:
    for position, event in enumerate(events, 1):
        recorded: Recorded[Any] = Recorded(
            position=position, event=event, subject=event.subject, id=str(position)
        )
        for key in UPTIME.keys(recorded):
            row = UPTIME.fold(row, recorded, key)
    assert row is not None
    return row


def after(*events: Event, now: float, window: Window = "day") -> Report:
    return report(folded(events), at(now), window)


def started(seconds: float, seat: int, host: str = "here") -> InstanceStarted:
    return InstanceStarted(
        at=at(seconds), service="s", instance=f"s-{seat}", port=8000, pid=1, host=host, capacity=2
    )


def taken(seconds: float, seat: int, epoch: int, reason: str = "holder died") -> LeadershipTaken:
    return LeadershipTaken(
        at=at(seconds), service="s", instance=f"s-{seat}", epoch=epoch, reason=reason
    )


def released(seconds: float, seat: int, epoch: int, reason: str) -> LeadershipReleased:
    return LeadershipReleased(
        at=at(seconds), service="s", instance=f"s-{seat}", epoch=epoch, reason=reason
    )


def promoted(seconds: float, seat: int, epoch: int, failover_s: float | None) -> InstancePromoted:
    return InstancePromoted(
        at=at(seconds),
        service="s",
        instance=f"s-{seat}",
        epoch=epoch,
        capacity=2,
        failover_s=failover_s,
    )


def died(
    seconds: float, seat: int, reason: str = "signal 9", *, led: bool = False, planned: bool = False
) -> InstanceDied:
    return InstanceDied(
        at=at(seconds),
        service="s",
        instance=f"s-{seat}",
        reason=reason,
        was_leader=led,
        planned=planned,
    )


def watch(seconds: float, seen: float) -> WatchResumed:
    return WatchResumed(at=at(seconds), service="s", instance="s-0", last_seen=at(seen))


def began(seconds: float, since: float | None) -> OutageBegan:
    last = None if since is None else at(since)
    return OutageBegan(at=at(seconds), service="s", instance="", reason="no answer", since=last)


def back(seconds: float, duration_s: float) -> OutageEnded:
    return OutageEnded(at=at(seconds), service="s", instance="", duration_s=duration_s)


UP: tuple[Event, ...] = (*(started(-2, seat) for seat in range(3)), taken(0, 0, 1, "first start"))


def test_a_service_that_was_never_led_has_no_availability() -> None:
    found = after(started(0, 0), died(1, 0), now=100)
    assert (found.state, found.availability, found.observed_s) == ("new", None, 0.0)


def test_time_counts_from_the_first_leader_on() -> None:
    found = after(*UP, now=1000)
    assert (found.state, found.availability, found.up_s) == ("up", 1.0, 1000.0)
    assert found.start == at(0)


def test_a_failover_is_an_outage_from_the_fault_to_the_promotion() -> None:
    found = after(
        *UP, taken(100.02, 1, 2), promoted(100.03, 1, 2, 0.03), died(100.1, 0, led=True), now=1000
    )
    assert found.down_s == pytest.approx(0.03)
    assert found.outages == 1
    assert found.failovers.count == 1
    assert found.failovers.max_s == 0.03
    assert found.last_outages[0].reason == "failover to s-1"
    assert found.state == "up"


def test_while_nobody_leads_the_outage_grows() -> None:
    events = (*UP, died(100, 0, led=True))
    assert after(*events, now=130).down_s == 30.0
    found = after(*events, now=160)
    assert (found.down_s, found.state) == (60.0, "down")
    assert found.last_outages[0].end is None
    assert found.last_outages[0].reason == "signal 9"


def test_a_standby_that_dies_costs_nothing() -> None:
    found = after(*UP, died(100, 2), started(100.2, 2), now=1000)
    assert (found.down_s, found.unknown_s, found.outages) == (0.0, 0.0, 0)


def test_a_planned_switchover_counts_with_its_gap() -> None:
    found = after(
        *UP,
        released(100, 0, 1, "switchover"),
        taken(100.02, 1, 2, "released"),
        promoted(100.03, 1, 2, None),
        died(101, 0, "switchover", planned=True),
        now=1000,
    )
    assert (found.switchovers, found.failovers.count) == (1, 0)
    assert found.down_s == pytest.approx(0.02)


def test_a_release_that_is_recorded_after_the_next_leader_counts_all_the_same() -> None:
    found = after(*UP, taken(100.02, 1, 2, "released"), released(100, 0, 1, "switchover"), now=1000)
    assert found.down_s == pytest.approx(0.02)
    assert found.state == "up"


def test_a_lease_that_ran_out_is_a_failover_even_if_nobody_saw_the_fault() -> None:
    found = after(*UP, taken(102, 1, 2, "expired"), promoted(102, 1, 2, None), now=1000)
    assert (found.failovers.count, found.failovers.max_s, found.switchovers) == (1, None, 0)


def test_a_stop_in_order_is_shown_apart_and_costs_no_budget() -> None:
    found = after(
        *UP,
        died(100, 1, "stopped", planned=True),
        died(100, 2, "stopped", planned=True),
        released(101, 0, 1, "stopped"),
        died(101.5, 0, "stopped", planned=True),
        watch(500, 101),
        *(started(500, seat) for seat in range(3)),
        taken(504, 0, 2, "released"),
        now=1000,
    )
    assert (found.stopped_s, found.down_s, found.unknown_s) == (403.0, 0.0, 0.0)
    assert (found.availability, found.observed_s) == (1.0, 597.0)


def test_a_new_version_of_a_lone_instance_is_down_time_not_a_stop() -> None:
    found = after(
        started(-1, 0),
        taken(0, 0, 1),
        released(100, 0, 1, "new version"),
        died(100, 0, "new version", planned=True),
        started(100, 0),
        taken(102, 0, 2),
        now=1000,
    )
    assert (found.down_s, found.stopped_s) == (2.0, 0.0)


def test_a_launcher_that_died_leaves_unknown_time_and_its_restart_is_down_time() -> None:
    found = after(
        *UP,
        watch(700, 300),
        *(started(700, seat) for seat in range(3)),
        taken(704, 0, 2, "released"),
        now=1000,
    )
    assert (found.unknown_s, found.down_s, found.observed_s) == (400.0, 4.0, 600.0)
    assert found.availability == pytest.approx(1 - 4 / 600)


def test_a_start_without_a_death_before_it_leaves_unknown_time_from_the_last_sign_of_life() -> None:
    found = after(
        *UP,
        InstanceReady(at=at(50), service="s", instance="s-0", startup_s=1),
        *(started(650, seat) for seat in range(3)),
        taken(653, 0, 2, "released"),
        now=1000,
    )
    assert (found.unknown_s, found.down_s) == (600.0, 3.0)


def test_the_same_seat_on_another_host_is_no_restart() -> None:
    found = after(*UP, started(650, 0, "there"), now=1000)
    assert (found.unknown_s, found.down_s, found.state) == (0.0, 0.0, "up")


def test_an_outage_seen_from_outside_runs_from_the_last_success_to_the_first() -> None:
    events = (*UP, began(107, 100))
    assert after(*events, now=110).down_s == 10.0
    assert after(*events, now=110).state == "down"
    found = after(*events, back(120, 20), now=1000)
    assert (found.down_s, found.outages, found.state) == (20.0, 1, "up")
    assert found.last_outages[0].reason == "no answer"


def test_what_both_watchers_saw_counts_once() -> None:
    found = after(
        *UP,
        began(106, 100),
        taken(110, 1, 2, "expired"),
        promoted(110, 1, 2, 8),
        back(111, 11),
        now=1000,
    )
    assert (found.down_s, found.outages) == (11.0, 1)
    assert found.last_outages[0].reason == "no answer; failover to s-1"


def test_an_outage_that_was_open_when_the_watch_ended_is_unknown_from_there_on() -> None:
    found = after(*UP, began(106, 100), watch(400, 120), taken(401, 0, 2), now=1000)
    assert (found.down_s, found.unknown_s) == (21.0, 280.0)


def test_the_error_budget_of_a_month_is_almost_thirteen_minutes() -> None:
    found = after(*UP, died(100, 0, led=True), taken(160, 1, 2), now=1000, window="month")
    assert found.budget_s == pytest.approx(12.96 * 60)
    assert found.budget_left_s == pytest.approx(12.96 * 60 - 60)
    assert found.within_target
    assert not after(
        *UP, died(100, 0, led=True), taken(160, 1, 2), now=1000, window="hour"
    ).within_target


def test_only_what_lies_in_the_window_counts() -> None:
    events = (*UP, died(100, 0, led=True), taken(160, 1, 2), promoted(160, 1, 2, 60))
    assert after(*events, now=130 + 3600, window="hour").down_s == 30.0
    assert after(*events, now=130 + 3600, window="hour").failovers.count == 1
    gone = after(*events, now=161 + 3600, window="hour")
    assert (gone.down_s, gone.failovers.count, gone.observed_s) == (0.0, 0, 3600.0)


def test_recoveries_are_shown_by_rank() -> None:
    events: list[Event] = [*UP]
    for n in range(1, 101):
        events += [taken(10 * n, n % 3, n + 1), promoted(10 * n, n % 3, n + 1, n / 1000)]
    found = after(*events, now=2000).failovers
    assert (found.count, found.min_s, found.p50_s, found.p99_s, found.max_s) == (
        100,
        0.001,
        0.05,
        0.099,
        0.1,
    )


def test_old_spans_are_forgotten_once_no_window_reaches_them() -> None:
    late = KEPT.total_seconds() + 200
    row = folded((*UP, died(100, 0, led=True), taken(160, 1, 2), promoted(160, 1, 2, 60)))
    assert row.spans
    later = folded([InstanceReady(at=at(late), service="s", instance="s-1", startup_s=1)], row)
    assert (later.spans, later.failovers) == ((), ())


def test_two_more_instances_cost_the_reference_of_fifty_dollars() -> None:
    group: Group | None = None
    for position, event in enumerate((*(started(0, n) for n in range(3)), died(5, 9)), 1):
        recorded: Recorded[Any] = Recorded(position=position, event=event, subject="", id="")
        group = GROUPS.fold(group, recorded, "s")
    assert group is not None
    found = cost(group, 25.0)
    assert (found.instances, found.month_usd, found.extra_usd) == (3, 75.0, 50.0)


MOMENTS = st.floats(0, 5000, allow_nan=False).map(lambda s: round(s, 3))
SEATS = st.integers(0, 2)
EVENTS = st.one_of(
    st.builds(started, MOMENTS, SEATS),
    st.builds(taken, MOMENTS, SEATS, st.integers(1, 9), st.sampled_from(["expired", "released"])),
    st.builds(released, MOMENTS, SEATS, st.integers(1, 9), st.just("switchover")),
    st.builds(promoted, MOMENTS, SEATS, st.integers(1, 9), st.none() | st.floats(0, 50)),
    st.builds(died, MOMENTS, SEATS, led=st.booleans(), planned=st.booleans()),
    st.builds(watch, MOMENTS, MOMENTS),
    st.builds(began, MOMENTS, st.none() | MOMENTS),
    st.builds(back, MOMENTS, st.floats(0, 100)),
)


@given(
    st.lists(EVENTS, min_size=1, max_size=40),
    st.booleans(),
    st.floats(0, 9000),
    st.sampled_from(list(WINDOWS)),
)
def test_every_second_is_up_down_unknown_or_stopped_and_only_one_of_them(
    events: list[Event], in_order: bool, now: float, window: Window
) -> None:
    # Also in an order and with times that no correct writer makes: a fold refuses nothing.
    row = folded(sorted(events, key=lambda e: e.at) if in_order else events)
    found = report(row, at(now), window)
    parts = (found.up_s, found.down_s, found.unknown_s, found.stopped_s)
    assert all(part >= -1e-6 for part in parts)
    assert sum(parts) == pytest.approx((found.end - found.start).total_seconds(), abs=1e-4)
    assert found.availability is None or 0.0 <= found.availability <= 1.0
    assert found.down_s + found.budget_left_s == pytest.approx(found.budget_s)
    assert found.longest_outage_s <= found.down_s + 1e-6
    assert found.end - found.start <= WINDOWS[window]
    assert (found.down_s > 0) == (found.outages > 0)


@given(st.lists(EVENTS, min_size=1, max_size=30), st.floats(0, 9000))
def test_a_longer_window_never_knows_of_less_down_time(events: list[Event], now: float) -> None:
    row = folded(sorted(events, key=lambda e: e.at))
    hour, day, month = (report(row, at(now), window) for window in ("hour", "day", "month"))
    assert hour.down_s <= day.down_s + 1e-6 <= month.down_s + 2e-6
    assert hour.failovers.count <= day.failovers.count <= month.failovers.count


@given(st.lists(EVENTS, min_size=1, max_size=20))
def test_rows_survive_storage(events: list[Event]) -> None:
    row = folded(events)
    assert Uptime.model_validate_json(row.model_dump_json()) == row


def test_the_target_is_the_published_one() -> None:
    assert TARGET == 0.9997
