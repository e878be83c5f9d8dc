"""What a submitter is told: the answer that the leader gave to the raw message."""

import time
from dataclasses import dataclass
from typing import Any

from domain.intake import claimed_id, derived_id
from infra.ports import Context
from projections.intents import INTENTS, REFUSALS, WAITING, IntentRow, Refusal, raw_key

_WAIT_S = 5.0
STATUS_BY_CODE = {
    "duplicate": 409,
    "id_in_use": 409,
    "queue_full": 429,
    "malformed": 422,
    "invalid": 422,
    "too_large": 422,
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The HTTP status and body that answer one submission."""

    status: int
    body: dict[str, Any]


async def submit(ctx: Context, body: bytes, *, person: str) -> Receipt:
    """Publish a raw intent and return the answer to it, or after 5 s that it is safely stored."""
    position = await ctx.log.submit(body, person=person)
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if receipt := find(ctx, position):
            return receipt
        await ctx.views.changed(timeout_s=max(deadline - time.monotonic(), 0.001))
    intent_id = claimed_id(body) or derived_id(position)
    stored = {
        "intent_id": intent_id,
        "status": "queued",
        "priority": None,
        "queue_position": None,
        "track_url": f"/intents/{intent_id}",
        "position": position,
        "note": "stored in the log; nobody has answered it yet",
    }
    return Receipt(202, stored)


def find(ctx: Context, raw_position: int) -> Receipt | None:
    """The answer to a raw message, if this instance's view has it."""
    refusal = ctx.views.get(REFUSALS, raw_key(raw_position))
    if refusal is not None:
        return _refused(ctx, refusal)
    rows = ctx.views.all(INTENTS, raw_position=raw_position)
    return Receipt(202, accepted(ctx, rows[0])) if rows else None


def accepted(ctx: Context, row: IntentRow) -> dict[str, Any]:
    """The body for a queued intent."""
    return {
        "intent_id": row.intent_id,
        "status": row.status,
        "priority": row.priority,
        "queue_position": queue_position(ctx, row),
        "track_url": f"/intents/{row.intent_id}",
        "position": row.position,
    }


def queue_position(ctx: Context, row: IntentRow) -> int | None:
    """1 for the next to be governed; None once governance has decided."""
    if row.status not in WAITING:
        return None
    return 1 + ctx.views.count(INTENTS, below=("rank", row.rank), status=WAITING)


def _refused(ctx: Context, refusal: Refusal) -> Receipt:
    if refusal.code == "repeated":
        row = ctx.views.get(INTENTS, refusal.existing)
        if row is not None:
            return Receipt(200, accepted(ctx, row))
    status = STATUS_BY_CODE.get(refusal.code, 409)
    body = {
        "type": "about:blank",
        "title": "The intent was refused",
        "status": status,
        "detail": refusal.reason,
        "code": refusal.code,
        "field": refusal.field,
        "errors": [{"field": refusal.field, "message": refusal.reason}],
        "intent_id": refusal.intent_id,
        "existing": refusal.existing,
        "raw_position": refusal.raw_position,
        "position": refusal.position,
    }
    return Receipt(status, body)
