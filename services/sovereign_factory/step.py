"""One attempt's SPEC: assemble it and append all of it at once; or a person's answer to questions.

Delivery    the command id is deterministic: done twice, it is in the log once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.delivery_events import SpecNeedsDetail
from domain.errors import IllegalTransition, NotFound
from domain.event import Event
from domain.spec.draft import draft
from infra import spec_cel
from infra.ports import Context, Meta, Term, Write
from projections.specs import PIPELINES, SPECS, PipelineRow
from services.sovereign_factory import components
from services.sovereign_factory.assembly import Assembly


async def assemble(ctx: Context, assembly: Assembly, row: PipelineRow, term: Term) -> int | None:
    """Append the SPEC of a cleared intent; return the last position.

    Raises:
        ConflictError: somebody else wrote on this SPEC first.
        StaleEpoch: a newer leader works.
    """
    last = await ctx.log.last(f"events.spec.{row.intent_id}")
    if last is not None and last.event.attempt >= row.attempt:  # type: ignore[attr-defined]
        return last.position
    events = await _events(ctx, assembly, row)
    meta = Meta(
        command_id=f"{row.intent_id}/{row.attempt}/spec",
        actor=ctx.service,
        correlation_id=row.intent_id,
        causation_id=str(row.position),
        source=ctx.service,
    )
    expected = last.position if last else 0
    writes = _writes(events, expected if len(events) > 1 else None)
    positions = await ctx.log.append(writes, meta=meta, fence=term.fence)
    return positions[-1]


async def _events(ctx: Context, assembly: Assembly, row: PipelineRow) -> Sequence[Event]:
    at = ctx.clock.now()
    if row.intent.kind == "component":
        return await components.events(ctx, row.intent, attempt=row.attempt, at=at)
    version = next_version(ctx, row)
    return await assembly.events(row.intent, attempt=row.attempt, version=version, at=at)


async def unassembled(ctx: Context, row: PipelineRow, term: Term, reason: str) -> int:
    """Set an intent aside whose SPEC could not be made: a question to people, never silence."""
    event = SpecNeedsDetail(
        intent_id=row.intent_id,
        at=ctx.clock.now(),
        attempt=row.attempt,
        questions=(f"The factory could not make a SPEC: {reason}. Send one as `spec`.",),
        service_name=row.service_name,
    )
    meta = Meta(
        command_id=f"{row.intent_id}/{row.attempt}/spec-parked",
        actor=ctx.service,
        correlation_id=row.intent_id,
        causation_id=str(row.position),
        source=ctx.service,
    )
    positions = await ctx.log.append([Write(event)], meta=meta, fence=term.fence)
    return positions[-1]


async def answer(
    ctx: Context,
    assembly: Assembly,
    intent_id: str,
    detail: Mapping[str, Any],
    *,
    without_custom: bool,
    person: str,
    command_id: str,
) -> tuple[Sequence[Event], int]:
    """Take a person's ``spec`` for an intent that needs detail; return the events and position.

    Raises:
        NotFound: no such intent.
        IllegalTransition: its SPEC does not wait for an answer.
        SpecInvalid: the detail is not a SPEC.
        NeedsDetail: there is still nothing to build on.
        ConflictError: somebody else answered first.
    """
    row = ctx.views.get(PIPELINES, intent_id)
    if row is None:
        raise NotFound(f"no intent {intent_id}")
    last = await ctx.log.last(f"events.spec.{intent_id}")
    waits = last is not None and isinstance(last.event, SpecNeedsDetail)
    if row.ended or last is None or not waits or row.intent.kind != "service":
        raise IllegalTransition(f"the SPEC of {intent_id} does not wait for detail")
    told = row.intent.model_copy(update={"spec": {**(row.intent.spec or {}), **detail}})
    if without_custom:
        told = told.model_copy(update={"metadata": {**told.metadata, "custom": []}})
    made = draft(told, version=next_version(ctx, row), judge=spec_cel.judge)
    made = await assembly.with_custom(told, made)
    events = assembly.judged(told, made, attempt=row.attempt, at=ctx.clock.now(), by="submitted")
    meta = Meta(
        command_id=command_id,
        actor=person,
        correlation_id=intent_id,
        causation_id=last.id,
        source=ctx.service,
    )
    positions = await ctx.log.append(_writes(events, last.position), meta=meta)
    return events, positions[-1]


def next_version(ctx: Context, row: PipelineRow) -> str:
    """1.0.0 for a service's first SPEC; each later accepted one raises the middle number."""
    accepted = ctx.views.all(SPECS, service_name=row.service_name, status="accepted")
    versions = [tuple(map(int, spec.version.split("."))) for spec in accepted if spec.version]
    if not versions:
        return "1.0.0"
    newest = max(versions)
    return f"{newest[0]}.{newest[1] + 1}.0"


def _writes(events: Sequence[Event], expected: int | None) -> list[Write]:
    return [Write(events[0], expected), *(Write(event) for event in events[1:])]
