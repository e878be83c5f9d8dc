"""Open work in its order: read once, then heard of."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from domain.intent import IntentCancelled, IntentReprioritized, Priority
from domain.recorded import Recorded
from domain.view import Table
from infra.ports import Batch
from infra.views import SqliteViews
from infra.worklist import WorkList

T0 = datetime(2030, 1, 1, tzinfo=UTC)
RANKS: dict[Priority, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}


class Job(BaseModel):
    name: str
    rank: int
    open: bool


def _keys(recorded: Recorded[Any]) -> Iterable[str]:
    return (recorded.event.intent_id,)


def _fold(row: Job | None, recorded: Recorded[Any], key: str) -> Job | None:
    if isinstance(recorded.event, IntentReprioritized):
        priority = recorded.event.priority
        return Job(name=key, rank=RANKS[priority], open=priority != "low")
    return None


JOBS: Table[Job] = Table(
    name="jobs",
    version=1,
    subjects=("events.intent.>",),
    row=Job,
    keys=_keys,
    fold=_fold,
    columns=("open",),
)
NAMES = ("a", "b", "c", "d", "e")
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(("critical", "high", "medium", "low", "gone"))
    ),
    max_size=30,
)


def changed(position: int, name: str, to: Any) -> Recorded[Any]:
    event = (
        IntentCancelled(intent_id=name, at=T0, reason="done")
        if to == "gone"
        else IntentReprioritized(intent_id=name, at=T0, priority=to)
    )
    return Recorded(position=position, event=event, subject=event.subject, id=str(position))


def apply(views: SqliteViews, changes: list[tuple[str, str]]) -> None:
    for name, to in changes:
        position = views.position + 1
        views.apply(Batch([changed(position, name, to)], position, 0))


def worklist(views: SqliteViews) -> WorkList[Job]:
    return WorkList(views, JOBS, rank="rank", column="open")


@given(CHANGES, CHANGES)
async def test_it_lists_what_a_query_would_find(
    tmp_path_factory: Any, before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    views = SqliteViews(tmp_path_factory.mktemp("views"), [JOBS])
    apply(views, before)
    async with worklist(views) as work:
        for step in after:
            apply(views, [step])
            found = sorted(views.all(JOBS, open=True), key=lambda j: (j.rank, j.name))
            assert work.first(10) == found
            assert work.first(2) == found[:2]
            assert len(work) == len(found)
    views.close()


async def test_it_reads_more_than_a_page_and_hears_nothing_after_its_end(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path, [JOBS])
    apply(views, [(f"{n:04d}", "high") for n in range(2403)])
    async with worklist(views) as work:
        assert [job.name for job in work.first(3000)] == [f"{n:04d}" for n in range(2403)]
    apply(views, [("late", "high")])
    assert len(work) == 2403
    views.close()
