"""Questions are put again when the policies change: people answer what is in force.

An approval is of a decision under one bundle; with another one in force it is refused. So the
leader decides every waiting intent anew, from its recorded assessment, and asks again where a
person still decides.

Delivery    fenced, with a command id taken from the decision that is replaced.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from domain.errors import TransientError
from domain.governance import Decide, Decided, State, decide_anew
from domain.intent import Intent, IntentQueued
from domain.policy import inputs_of
from infra.ports import Context, Term
from projections.governance import APPROVALS, DECISIONS, ApprovalRow
from services.governance.people import People
from services.governance.record import meta_of, record
from services.governance.rulebook import Rulebook, Rules

_LOOK_S = 0.5
_PAGE = 100
_log = structlog.get_logger(__name__)


class Asking:
    """Keeps every open question one of the policies in force."""

    def __init__(
        self, ctx: Context, *, rulebook: Rulebook, people: People, approval_ttl: timedelta
    ) -> None:
        self._ctx = ctx
        self._rulebook = rulebook
        self._people = people
        self._ttl = approval_ttl
        self._to_check: dict[str, None] = {}  # intents whose question may be outdated
        self._checked_for = ""  # digest of the bundle that all others are of; "": not known yet

    async def run(self, term: Term) -> None:
        """Look after questions until the term ends."""
        with self._ctx.views.watching(APPROVALS, self._seen):
            while not term.ended.is_set():
                try:
                    await self._look(term)
                except TransientError as error:
                    _log.warning("asking_delayed", error=str(error))
                await asyncio.sleep(_LOOK_S)

    def _seen(self, intent_id: str, row: ApprovalRow | None) -> None:
        # At once, while the decision is in memory: nearly every question is of the rules in force.
        if row is not None and self._outdated(row, self._checked_for):
            self._to_check[intent_id] = None

    async def _look(self, term: Term) -> None:
        rules = self._rulebook.current()
        digest = rules.conditions.digest
        if digest != self._checked_for:
            self._checked_for = ""  # what comes meanwhile is looked at, too
            await self._collect()
            self._checked_for = digest
        while self._to_check:
            intent_id = next(iter(self._to_check))
            row = self._ctx.views.get(APPROVALS, intent_id)
            if row is not None and self._outdated(row, digest):
                await self._ask_again(row, rules, term)
            self._to_check.pop(intent_id, None)
            await asyncio.sleep(0)  # decisions come first

    async def _collect(self) -> None:
        """Every open question; more come through ``_seen``."""
        cursor = ""
        while True:
            page = self._ctx.views.page(
                APPROVALS, where={"status": "pending"}, limit=_PAGE, cursor=cursor
            )
            self._to_check.update(dict.fromkeys(row.intent_id for row in page.rows))
            cursor = page.cursor
            if not cursor:
                return
            await asyncio.sleep(0)  # the lease is renewed in between

    def _outdated(self, row: ApprovalRow, digest: str) -> bool:
        if row.status != "pending" or row.subject_type != "intent":
            return False
        decision = self._ctx.views.get(DECISIONS, row.decision_id)
        return decision is not None and decision.bundle_digest != digest

    async def _ask_again(self, row: ApprovalRow, rules: Rules, term: Term) -> None:
        intent = await self._intent(row)
        if intent is None:
            return
        approvers = await self._people.approvers()

        def _decide(state: State) -> Sequence[Decided]:
            command = self._command(state, intent, rules, approvers)
            return decide_anew(command, state) if command is not None else ()

        digest = rules.conditions.digest
        command_id = f"{row.decision_id}/anew/{digest}"
        meta = meta_of(self._ctx, row.intent_id, command=command_id, cause=row.position)
        position = await record(self._ctx, term, _decide, meta=meta)
        _log.info("asked_again", intent=row.intent_id, position=position, bundle=digest)

    def _command(
        self, state: State, intent: Intent, rules: Rules, approvers: Sequence[str]
    ) -> Decide | None:
        """The decision on what was assessed, by the rules of now; None before any assessment."""
        assessed, at = state.assessed, self._ctx.clock.now()
        if assessed is None:
            return None
        inputs = inputs_of(
            intent, assessed.assessment, mode=rules.mode, user_present=rules.user_present, at=at
        )
        return Decide(
            intent=intent,
            attempt=assessed.attempt,
            assessment=assessed.assessment,
            outcome=rules.conditions.outcome(rules.mode, inputs),
            inputs=inputs,
            mode=rules.mode,
            bundle_digest=rules.conditions.digest,
            blueprint_digest=assessed.blueprint_digest,
            intent_digest=assessed.intent_digest,
            approvers=approvers,
            approval_ttl=self._ttl,
            at=at,
        )

    async def _intent(self, row: ApprovalRow) -> Intent | None:
        for recorded in await self._ctx.log.read(f"events.intent.{row.intent_id}"):
            event = recorded.event
            if isinstance(event, IntentQueued) and event.attempt == row.attempt:
                return event.intent
        return None
