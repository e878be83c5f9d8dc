"""The SPEC of a part of this system: bound to the source that was cleared, and to its tests."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from domain.component import digest_of, document_of, score_of, version_of
from domain.delivery_events import SpecAccepted, SpecDrafted, SpecNeedsDetail, SpecVerified
from domain.event import Event
from domain.intent import Intent
from infra import components
from infra.components import NotBuildable
from infra.ports import Context
from infra.settings import BASE_PORTS
from projections.specs import SPECS


async def events(ctx: Context, intent: Intent, *, attempt: int, at: datetime) -> Sequence[Event]:
    """Return the events to append: an accepted SPEC, or why there cannot be one."""
    try:
        document = await asyncio.to_thread(_document, ctx, intent)
    except NotBuildable as error:
        return (_asked(intent, attempt, at, (str(error),), None),)
    digest, score = digest_of(document), score_of(document)
    made = (
        SpecDrafted(
            intent_id=intent.intent_id, at=at, attempt=attempt, document=document, digest=digest,
            drafter="rules", notes=("a component: its source is its SPEC",),
        ),
        SpecVerified(
            intent_id=intent.intent_id, at=at, attempt=attempt, digest=digest, score=score
        ),
    )  # fmt: skip
    gate = ctx.settings.spec_gate
    stops = tuple(
        f"{finding.place}: {finding.message}; {finding.fix}"
        for finding in score.findings
        if finding.severity == "error" or score.total < gate
    )
    if stops:
        return (*made, _asked(intent, attempt, at, stops, score.total))
    accepted = SpecAccepted(
        intent_id=intent.intent_id, at=at, attempt=attempt, digest=digest, score=score.total,
        gate=gate,
    )  # fmt: skip
    return (*made, accepted)


def _document(ctx: Context, intent: Intent) -> dict[str, object]:
    """Raises NotBuildable."""
    root, name = components.source_root(ctx.settings), intent.service_name
    found = components.digest_of(root, name)
    cleared = str(intent.metadata.get("source_digest", "")).replace(" ", "") or found
    if cleared != found:
        raise NotBuildable(
            f"the source of {name} has changed since it was submitted ({cleared[:12]} is now "
            f"{found[:12]}): submit it again, so that what is approved is what is built"
        )
    earlier = [row.version for row in ctx.views.all(SPECS, service_name=name)]
    return document_of(
        intent,
        version=version_of(components.platform_version(root), earlier),
        source_digest=found,
        tests=components.tests_of(root, name),
        port=BASE_PORTS[name],
    )


def _asked(
    intent: Intent, attempt: int, at: datetime, questions: tuple[str, ...], total: float | None
) -> SpecNeedsDetail:
    return SpecNeedsDetail(
        intent_id=intent.intent_id, at=at, attempt=attempt, questions=questions, score=total,
        service_name=intent.service_name,
    )  # fmt: skip
