"""What the instance host starts: views, routes and the leader's work of the sovereign factory."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.claude.asker import Asker
from infra.claude_handlers import ClaudeHandlers
from infra.claude_spec import ClaudeDrafter
from infra.ports import Context, Term
from infra.work import Worker
from projections.specs import PIPELINES, SPECS, TABLES, PipelineRow
from services.sovereign_factory.api import routes
from services.sovereign_factory.assembly import Assembly
from services.sovereign_factory.step import assemble, unassembled


class SovereignFactory:
    name = "sovereign-factory"
    version = "0.1.0"
    tier = 0
    features: Sequence[str] = (
        "Drafts a typed SPEC from an intent by published rules",
        "Scores a SPEC with findings, and improves it without removing anything",
        "Renders SPEC.md and reads it back, foreign ones included",
        "Shows every pipeline from clearance to a running service",
    )
    dependencies: Sequence[str] = ("nats",)
    tables = TABLES

    def __init__(self, ctx: Context, assembly: Assembly) -> None:
        self._ctx = ctx
        self._assembly = assembly

    def routes(self) -> Sequence[Any]:
        return routes(self._ctx, self._assembly)

    def figures(self) -> Mapping[str, object]:
        views = self._ctx.views
        return {
            "specs": views.count(SPECS),
            "specs_accepted": views.count(SPECS, status="accepted"),
            "specs_needing_detail": views.count(SPECS, status="needs_detail"),
            "open_work": views.count(PIPELINES, open=True),
            "gate": self._ctx.settings.spec_gate,
        }

    async def lead(self, term: Term) -> None:
        """Make SPECs for cleared intents, most urgent first, until the term ends."""
        ctx, capacity = self._ctx, self._ctx.capacity

        def find() -> Sequence[PipelineRow]:
            page = ctx.views.page(PIPELINES, where={"open": True}, order="rank", limit=4 * capacity)
            return page.rows

        async def park(row: PipelineRow, term: Term, reason: str) -> None:
            await unassembled(ctx, row, term, reason)

        await Worker(
            views=ctx.views,
            find=find,
            key=lambda row: f"{row.intent_id}/{row.attempt}",
            step=lambda row, term: assemble(ctx, self._assembly, row, term),
            park=park,
            capacity=capacity,
        ).run(term)


def _assembly(ctx: Context) -> Assembly:
    """With the model that drafts and writes handlers, where a key is set."""
    key = ctx.settings.anthropic_api_key
    if key is None:
        return Assembly(ctx)
    asker = Asker(api_key=key.get_secret_value(), model=ctx.settings.model)
    return Assembly(ctx, ClaudeDrafter(asker), ClaudeHandlers(asker))


def create(ctx: Context) -> SovereignFactory:
    return SovereignFactory(ctx, _assembly(ctx))
