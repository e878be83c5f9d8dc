"""Every endpoint of governance answered once by a running service.

``python -m tests.governance.api_story`` writes the answers, shortened, to where OpenAPI takes its
examples from; a test holds those to what is answered today.
"""

import asyncio
import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.governance.examples import FILE
from tests.governance.test_blast_radius import deployed
from tests.governance.world import World, governance

_REVENUE = "Revenue analytics: track revenues by source and month and show monthly totals"
_OWN = "AI-powered blueprint alignment and auto-approval governance engine"
_POLICY = {
    "policy_id": "no_gateways_at_night",
    "description": "Gateways go before a person",
    "conditions": ["service_type == 'api_gateway'"],
    "outcome": "requires_approval",
    "priority": 20,
}
_LISTED_MAX = 2  # entries of a list that an example shows


async def answers(world: World) -> dict[str, tuple[int, Any]]:
    """Return the status and the answer of each operation, by method and path."""
    found: dict[str, tuple[int, Any]] = {}

    async def ask(method: str, path: str, body: Any = None, *, as_: str = "", **ids: str) -> Any:
        await world.seen()
        headers = {"Authorization": f"Bearer {as_}"} if as_ else {}
        where, _, query = path.partition("?")
        answer = await world.client.request(
            method, f"{where.format(**ids)}?{query}", json=body, headers=headers
        )
        assert answer.is_success, f"{method} {path}: {answer.text}"
        found[f"{method} {where}"] = (answer.status_code, answer.json())
        return answer.json()

    await world.append(*deployed("month-end", "revenue-analytics"))
    routine = await world.queue(_REVENUE, service_name="revenue-analytics")
    own = await world.queue(
        _OWN, service_name="governance-two", service_type="infrastructure", target_tier=0
    )
    await world.decided(routine)
    await world.decided(own, count=3)
    waits = {"intent_id": own.intent_id}
    decision = {"decision_id": own.intent_id}
    until = (world.clock.now() + timedelta(days=7)).isoformat()
    why = "payments are down and the second approver cannot be reached"
    intent = {"service_name": "revenue-analytics", "purpose": _REVENUE}

    await ask("POST", "/governance/check-alignment", {"intent": intent})
    await ask("POST", "/governance/decide", {"intent_id": routine.intent_id}, as_="ann")
    await ask("GET", "/governance/mode")
    await ask("POST", "/governance/mode", {"mode": "supervised", "reason": "release"}, as_="ann")
    await ask("POST", "/governance/policies", {"policies": [_POLICY]}, as_="ann")
    await ask("GET", "/governance/policies")
    await ask("POST", "/governance/simulate", {"policies": [{**_POLICY, "conditions": ["true"]}]})
    path = "/governance/policies/{policy_id}?reason=over"
    await ask("DELETE", path, as_="ann", policy_id="no_gateways_at_night")
    await ask("POST", "/governance/break-glass", {**waits, "reason": why}, as_="bob")
    await ask("GET", "/governance/reviews")
    verdict = {"justified": True, "comment": "nobody else was awake; the fix was right"}
    await ask("POST", "/governance/reviews/{intent_id}", verdict, as_="ann", **waits)
    differently = {**waits, "decision": "blocked", "reason": "the fix is in: no longer wanted"}
    await ask("POST", "/governance/override", differently, as_="ann")
    await ask("GET", "/governance/decisions")
    await ask("GET", "/governance/decisions/{decision_id}", **decision)
    await ask("POST", "/governance/decisions/{decision_id}/replay", **decision)
    await ask("GET", "/governance/audit")
    away = {"delegate": "eve", "until": until, "reason": "on holiday"}
    await ask("POST", "/governance/delegations", away, as_="bob")
    await ask("GET", "/governance/delegations")
    path = "/governance/delegations/{approver}/{delegate}"
    await ask("DELETE", path, as_="bob", approver="bob", delegate="eve")
    return found


def shortened(value: Any) -> Any:
    """The same with at most two entries of each list."""
    if isinstance(value, dict):
        return {name: shortened(item) for name, item in value.items()}
    return [shortened(item) for item in value[:_LISTED_MAX]] if isinstance(value, list) else value


async def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with governance(Path(folder)) as world:
            found = await answers(world)
    shown = {
        name: {"status": status, "answer": shortened(answer)}
        for name, (status, answer) in sorted(found.items())
    }
    FILE.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(_write())
