"""What the instance host starts: views, routes and the leader's work of governance."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.rubric import Blueprint
from infra.claude import ClaudeEvaluator, Prices
from infra.ports import Context, Term
from infra.together import until_first
from projections.governance import APPROVALS, DECISIONS, GLASS, MODE, TABLES, UNDECIDED
from projections.services import SERVICES
from services.governance.api import routes
from services.governance.asking import Asking
from services.governance.assess import Evaluator, RubricEvaluator
from services.governance.config import load_config
from services.governance.people import People
from services.governance.rulebook import Rulebook
from services.governance.step import Step
from services.governance.surroundings import followed
from services.governance.work import deciding, expiring, put_first_rules, undecided


class Governance:
    name = "governance"
    version = "0.1.0"
    tier = 0
    features: Sequence[str] = (
        "Alignment with the blueprint, explained line by line",
        "Decisions by versioned policies in three modes",
        "Approvals bound to what was shown, overrides that change no history",
        "Replay of any decision, simulation of any policy over all decisions",
    )
    dependencies: Sequence[str] = ("nats",)
    tables = (*TABLES, SERVICES)

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._config = load_config(ctx.settings)
        self._people = People(ctx.auth)
        self._rulebook = Rulebook(ctx, first_mode=self._config.first_mode)
        self._evaluator = _evaluator(ctx, self._config.blueprint, self._rulebook)

    def routes(self) -> Sequence[Any]:
        return routes(
            self._ctx,
            self._rulebook,
            self._evaluator,
            self._people,
            first_mode=self._config.first_mode,
        )

    def figures(self) -> Mapping[str, object]:
        views = self._ctx.views
        row = views.get(MODE, "mode")
        return {
            "mode": row.mode if row else self._config.first_mode,
            "evaluator": type(self._evaluator).__name__.removesuffix("Evaluator").lower(),
            "undecided": views.count(UNDECIDED),
            "decisions": views.count(DECISIONS),
            "pending_approvals": views.count(APPROVALS, status="pending"),
            "reviews_owed": views.count(GLASS, open=True),
        }

    async def lead(self, term: Term) -> None:
        """Decide open intents and end expired approvals until the term ends."""
        position = await put_first_rules(self._ctx, self._config, term)
        await self._ctx.views.reach(position, timeout_s=30.0)
        asking = Asking(
            self._ctx,
            rulebook=self._rulebook,
            people=self._people,
            approval_ttl=self._config.approval_ttl,
        )
        concurrency = self._evaluator.concurrency * self._ctx.capacity
        with followed(self._ctx) as dependents:
            step = Step(
                self._ctx,
                rulebook=self._rulebook,
                evaluator=self._evaluator,
                dependents=dependents,
                people=self._people,
                approval_ttl=self._config.approval_ttl,
            )
            async with undecided(self._ctx) as waiting:
                work = deciding(self._ctx, step, waiting, concurrency=concurrency)
                await until_first(
                    work.run(term), expiring(self._ctx, self._people, term), asking.run(term)
                )


def _evaluator(ctx: Context, blueprint: Blueprint, rulebook: Rulebook) -> Evaluator:
    """Claude where there is a key, with the rubric below it; else the rubric."""
    key = ctx.settings.anthropic_api_key
    if key is None or not key.get_secret_value():
        return RubricEvaluator(blueprint)
    return ClaudeEvaluator(
        blueprint,
        lambda: rulebook.conditions().bundle.policies,
        api_key=key.get_secret_value(),
        model=ctx.settings.model,
        prices=_prices(ctx.settings.model_read_usd, ctx.settings.model_written_usd),
    )


def _prices(read_usd: float | None, written_usd: float | None) -> Prices | None:
    if read_usd is None or written_usd is None:
        return None
    return Prices(read_usd, written_usd)


def create(ctx: Context) -> Governance:
    return Governance(ctx)
