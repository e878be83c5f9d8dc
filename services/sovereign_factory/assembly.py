"""From an intent to the events of its SPEC: draft, verify, improve, accept or ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
from domain.spec.draft import Draft, NeedsDetail, draft
from domain.spec.model import Problem, Spec, SpecInvalid, read_spec, spec_digest
from domain.spec.optimize import Optimized, optimize
from domain.spec.render import difference
from domain.spec.score import score
from domain.spec.upgrade import unsafe_changes
from infra import spec_cel
from infra.ports import Context
from projections.specs import IN_USE, SPECS
from services.sovereign_factory.beyond import losses


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes the events of one attempt; a SPEC must reach the gate of the settings."""

    ctx: Context

    def events(
        self, intent: Intent, *, attempt: int, version: str, at: datetime
    ) -> Sequence[Event]:
        """Return the events to append, in order: an accepted SPEC, or what a person must say."""
        try:
            made = draft(intent, version=version, judge=spec_cel.judge)
        except NeedsDetail as lacking:
            return (self._asked(intent, attempt, at, lacking.questions, None),)
        except SpecInvalid as invalid:
            asked = tuple(f"spec.{problem}" for problem in invalid.problems)
            return (self._asked(intent, attempt, at, asked, None),)
        return self.judged(intent, made, attempt=attempt, at=at)

    def judged(self, intent: Intent, made: Draft, *, attempt: int, at: datetime) -> Sequence[Event]:
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
                digest=digest, drafter="submitted" if made.submitted else "rules",
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
