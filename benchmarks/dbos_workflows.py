"""The baseline: the same decisions as DBOS workflows of three steps on PostgreSQL.

One process, its default pool of threads, every workflow started at once; each step's result is
durable before the next one starts, as each of our events is.
"""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.postgres import Missing, postgres
from domain.governance_events import Assessment
from domain.intake import settle
from domain.intent import Intent, RawIntent, Submission
from domain.policy import inputs_of
from domain.rubric import evaluate
from infra.cel import CelConditions, shipped
from tests.governance.labelled import BLUEPRINT

T0 = datetime(2030, 1, 1, tzinfo=UTC)


def rate(bodies: Sequence[bytes]) -> float:
    """Workflows a second, from the first start to the last result.

    Raises:
        Missing: DBOS or PostgreSQL is not installed.
    """
    os.environ.setdefault("DBOS__LOG_LEVEL", "ERROR")
    try:
        from dbos import DBOS
    except ImportError:
        raise Missing("DBOS is not installed: pip install 'dbos>=3.4,<4'") from None

    with postgres() as url:
        address = url.replace("postgresql://", "postgresql+psycopg://")
        DBOS(config={"name": "decisions", "system_database_url": address, "log_level": "ERROR"})
        try:
            decide = _workflow(DBOS)
            DBOS.launch()
            started = time.monotonic()
            handles = [
                DBOS.start_workflow(decide, body.decode(), n) for n, body in enumerate(bodies, 1)
            ]
            decided = [handle.get_result() for handle in handles]
            took_s = time.monotonic() - started
        finally:
            DBOS.destroy()
    assert len(decided) == len(bodies)
    return len(bodies) / took_s


def _workflow(dbos: Any) -> Any:
    conditions = CelConditions(shipped())

    @dbos.step()  # type: ignore[untyped-decorator]
    def queue(body: str, number: int) -> dict[str, Any]:
        raw = RawIntent(subject_name="intents.submit", body=body.encode(), at=T0)
        submission = Submission.model_validate_json(raw.body)
        return settle(submission, raw=raw, position=number).model_dump(mode="json")

    @dbos.step()  # type: ignore[untyped-decorator]
    def assess(intent: dict[str, Any]) -> dict[str, Any]:
        return evaluate(Intent.model_validate(intent), BLUEPRINT).model_dump(mode="json")

    @dbos.step()  # type: ignore[untyped-decorator]
    def decide(intent: dict[str, Any], assessment: dict[str, Any]) -> str:
        found = inputs_of(
            Intent.model_validate(intent),
            Assessment.model_validate(assessment),
            mode="autonomous",
            user_present=False,
            at=T0,
        )
        return conditions.outcome("autonomous", found).decision

    @dbos.workflow()  # type: ignore[untyped-decorator]
    def decision(body: str, number: int) -> str:
        intent = queue(body, number)
        return str(decide(intent, assess(intent)))

    return decision
