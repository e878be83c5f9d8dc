"""Restart intensity and the hourly budget of promotions."""

from phoenix.supervise import HOUR_S, Backoff, FailoverBudget


def test_a_healthy_instance_that_is_killed_comes_back_at_once() -> None:
    backoff = Backoff()
    assert [backoff.died(ready_for_s=60.0) for _ in range(5)] == [0.0] * 5
    assert not backoff.looping


def test_an_instance_that_never_becomes_ready_waits_longer_each_time_up_to_a_limit() -> None:
    backoff = Backoff()
    waits = [backoff.died(ready_for_s=None) for _ in range(12)]
    assert waits[:4] == [0.0, 0.2, 0.4, 0.8]
    assert waits[-1] == backoff.limit_s
    assert backoff.looping


def test_a_calm_life_ends_a_crash_loop() -> None:
    backoff = Backoff()
    for _ in range(6):
        backoff.died(ready_for_s=0.1)
    assert backoff.looping
    assert backoff.died(ready_for_s=backoff.calm_s) == 0.0
    assert not backoff.looping


def test_promotions_beyond_the_hourly_budget_need_a_person() -> None:
    budget = FailoverBudget(per_hour=2)
    budget.promoted(0.0)
    assert not budget.spent(1.0)
    budget.promoted(1.0)
    assert budget.spent(2.0)
    assert not budget.spent(HOUR_S)  # the first one is an hour ago
    budget.promoted(HOUR_S)
    assert budget.spent(HOUR_S)
    budget.renewed()
    assert not budget.spent(HOUR_S)
