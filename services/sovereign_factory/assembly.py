"""From an intent to the events of its SPEC: draft, verify, improve, accept or ask.

With a key a model drafts; the published rules draft where there is none, and where it fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

import structlog

from domain.delivery_events import (
    Score,
    SpecAccepted,
    SpecDrafted,
    SpecNeedsDetail,
    SpecOptimized,
    SpecVerified,
)
from domain.event import Event
from domain.intent import Intent
from domain.spec.check import cel_problems
from domain.spec.custom import wishes_of
from domain.spec.draft import Draft, NeedsDetail, draft
from domain.spec.model import Handler, Problem, Spec, SpecInvalid, Wish, read_spec, spec_digest
from domain.spec.optimize import Optimized, optimize
from domain.spec.render import difference
from domain.spec.score import score
from domain.spec.upgrade import unsafe_changes
from infra import spec_cel
from infra.claude.asker import NoAnswer
from infra.claude_spec import Extra
from infra.generator.generate import problems
from infra.ports import Context
from projections.specs import IN_USE, SPECS
from services.sovereign_factory.beyond import losses

DraftedBy = Literal["rules", "claude", "submitted"]
NO_MODEL = (
    "metadata.custom asks for code that a model writes, and no model is set up (ANTHROPIC_API_KEY)."
)
CUSTOM_WAYS = "Answer with without_custom to build without it, or again once a model answers."
_log = structlog.get_logger(__name__)


class Drafter(Protocol):
    async def draft(self, intent: Intent, *, version: str, extra: Extra) -> Draft:
        """Return a draft.

        Raises:
            NeedsDetail: there is nothing to build on.
            NoAnswer: no usable answer.
        """


class HandlerWriter(Protocol):
    async def write(self, spec: Spec, wish: Wish) -> tuple[Handler, tuple[str, ...]]:
        """Return the handler that a wish asks for, and notes for the record.

        Raises:
            NoAnswer: no usable answer.
        """


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes the events of one attempt; a SPEC must reach the gate of the settings."""

    ctx: Context
    drafter: Drafter | None = None
    writer: HandlerWriter | None = None

    async def events(
        self, intent: Intent, *, attempt: int, version: str, at: datetime
    ) -> Sequence[Event]:
        """Return the events to append, in order: an accepted SPEC, or what a person must say."""
        try:
            made, by = await self._drafted(intent, version)
            made = await self.with_custom(intent, made)
        except NeedsDetail as lacking:
            return (self._asked(intent, attempt, at, lacking.questions, None),)
        except SpecInvalid as invalid:
            asked = tuple(f"spec.{problem}" for problem in invalid.problems)
            return (self._asked(intent, attempt, at, asked, None),)
        return self.judged(intent, made, attempt=attempt, at=at, by=by)

    async def _drafted(self, intent: Intent, version: str) -> tuple[Draft, DraftedBy]:
        if self.drafter is None or intent.spec:
            made = draft(intent, version=version, judge=spec_cel.judge)
            return made, "submitted" if made.submitted else "rules"
        try:
            return await self.drafter.draft(intent, version=version, extra=_unbuildable), "claude"
        except NoAnswer as failed:
            _log.warning("spec_drafted_by_rules", intent=intent.intent_id, reason=str(failed))
            made = draft(intent, version=version, judge=spec_cel.judge)
            return replace(
                made, notes=(f"by rules, as the model failed: {failed}", *made.notes)
            ), "rules"

    async def with_custom(self, intent: Intent, made: Draft) -> Draft:
        """Return the draft with the handlers that ``metadata.custom`` asks a model to write.

        Raises:
            NeedsDetail: there is no model, it gave nothing usable, or a wish has no place here.
        """
        wishes = wishes_of(intent.metadata, made.spec)
        for wish in wishes:
            if self.writer is None:
                raise NeedsDetail((f"{NO_MODEL} {CUSTOM_WAYS}",))
            try:
                handler, notes = await self.writer.write(made.spec, wish)
            except NoAnswer as failed:
                raise NeedsDetail(
                    (f"metadata.custom {wish.name}: {failed}. {CUSTOM_WAYS}",)
                ) from None
            spec = made.spec.model_copy(update={"custom": (*made.spec.custom, handler)})
            made = replace(made, spec=read_spec(spec.document()), notes=(*made.notes, *notes))
        return made

    def judged(
        self, intent: Intent, made: Draft, *, attempt: int, at: datetime, by: DraftedBy
    ) -> Sequence[Event]:
        """Return the events for a draft, whoever made it."""
        beyond = losses(made.spec, self.ctx.views)
        first = score(made.spec, beyond)
        better = optimize(
            made.spec, self.ctx.settings.spec_gate, outside=beyond, judge=spec_cel.judge
        )
        digest = spec_digest(made.spec)
        events: list[Event] = [
            SpecDrafted(
                intent_id=intent.intent_id, at=at, attempt=attempt, document=made.spec.document(),
                digest=digest, drafter=by,
                notes=made.notes,
            ),
            SpecVerified(
                intent_id=intent.intent_id, at=at, attempt=attempt, digest=digest, score=first
            ),
        ]  # fmt: skip
        if better.changes:
            events.append(_optimized(intent, made.spec, better, attempt, at))
        return (*events, self._verdict(intent, better, attempt, at))

    def _verdict(self, intent: Intent, made: Optimized, attempt: int, at: datetime) -> Event:
        unsafe = tuple(map(str, self._unsafe(made.spec)))
        questions = (*errors(made.score), *unsafe, *made.missing)
        if questions:
            asked = tuple(dict.fromkeys(questions))
            return self._asked(intent, attempt, at, asked, made.score.total)
        return SpecAccepted(
            intent_id=intent.intent_id, at=at, attempt=attempt, digest=spec_digest(made.spec),
            score=made.score.total, gate=self.ctx.settings.spec_gate,
        )  # fmt: skip

    def _unsafe(self, spec: Spec) -> Sequence[Problem]:
        """What the data of the running service of this name would not survive."""
        running = self.ctx.views.get(IN_USE, spec.service_name)
        built = self.ctx.views.get(SPECS, running.intent_id) if running else None
        if built is None or not built.accepted:
            return ()
        return unsafe_changes(read_spec(built.accepted), spec)

    def _asked(
        self, intent: Intent, attempt: int, at: datetime, questions: tuple[str, ...],
        total: float | None,
    ) -> SpecNeedsDetail:  # fmt: skip
        return SpecNeedsDetail(
            intent_id=intent.intent_id, at=at, attempt=attempt, questions=questions,
            score=total, service_name=intent.service_name,
        )  # fmt: skip


def _unbuildable(spec: Spec) -> Sequence[str]:
    found = cel_problems(spec, spec_cel.check) or problems(spec)
    return tuple(map(str, found))


def errors(scored: Score) -> tuple[str, ...]:
    """What would break the build, whatever the score is."""
    return tuple(
        f"{finding.place}: {finding.message}; {finding.fix} (+{finding.points:g})"
        for finding in scored.findings
        if finding.severity == "error"
    )


def _optimized(
    intent: Intent, before: Spec, made: Optimized, attempt: int, at: datetime
) -> SpecOptimized:
    return SpecOptimized(
        intent_id=intent.intent_id, at=at, attempt=attempt, document=made.spec.document(),
        digest=spec_digest(made.spec), previous_digest=spec_digest(before),
        diff=difference(before, made.spec), score=made.score, changes=made.changes,
    )  # fmt: skip
