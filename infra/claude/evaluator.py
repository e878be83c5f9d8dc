"""Claude through the Anthropic SDK; whatever goes wrong ends in the rubric's recorded answer.

Invariants  the answer comes within ``budget_s``; the model may raise risk and add effects, never
            lower what the rubric found: tier, self-reference, effects, risk; where the rubric found
            any risk, the model's score counts only if it is lower.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError

from domain.canonical import digest
from domain.governance_events import (
    Assessment,
    BlastRadius,
    Evidence,
    Policy,
    RiskLevel,
    Usage,
)
from domain.intent import Intent
from domain.rubric import Blueprint, evaluate
from domain.rubric.evaluate import ALIGNED
from infra.claude.patience import asked_for_s, passes, wait_s
from infra.claude.prompt import Verdict, system_blocks, user_text

RISKS: tuple[RiskLevel, ...] = ("low", "medium", "high", "critical")
MAX_TOKENS = 4000
_FAILURES_BEFORE_REST = 3
_REST_MAX_S = 300.0  # longest that the model is left alone because it asks for it
_TO_CACHE, _FROM_CACHE = 1.25, 0.1  # of the price of reading: into the prompt cache, out of it
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens: what the model reads, and what it writes."""

    read_usd: float
    written_usd: float

    def of(self, used: Any) -> float:
        """The cost of one answer by its ``usage``."""
        to_cache = used.cache_creation_input_tokens or 0
        from_cache = used.cache_read_input_tokens or 0
        read = used.input_tokens + _TO_CACHE * to_cache + _FROM_CACHE * from_cache
        usd: float = read * self.read_usd + used.output_tokens * self.written_usd
        return round(usd / 1_000_000, 6)


class NoVerdict(Exception):
    """The model gave no usable answer; the text says why."""


@dataclass(slots=True)
class _Call:
    """One assessment's conversation with the model: when it must be over, and how it went."""

    until: float  # monotonic
    attempts: int = 0
    failed: str = ""  # what the last try that failed said


class ClaudeEvaluator:
    """Assesses intents with Claude; safe for many at once."""

    concurrency = 4

    def __init__(
        self,
        blueprint: Blueprint,
        policies: Callable[[], Sequence[Policy]],
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        budget_s: float = 30.0,
        retries: int = 2,
        rest_s: float = 30.0,
        prices: Prices | None = None,
    ) -> None:
        """``base_url`` None: as the SDK reads it from ``ANTHROPIC_BASE_URL``. ``rest_s``: how long
        the model is left alone after several failures in a row. ``prices`` None: no cost is
        recorded."""
        self._blueprint = blueprint
        self._policies = policies
        self._api_key = api_key
        self._model = model
        self._base_url = base_url
        self._budget_s = budget_s
        self._retries = retries
        self._rest_s = rest_s
        self._prices = prices
        self._client: Any = None
        self._failures = 0
        self._rest_until = 0.0

    @property
    def blueprint(self) -> Blueprint:
        return self._blueprint

    async def assess(self, intent: Intent, radius: BlastRadius) -> Assessment:
        """The model's assessment above the rubric's floor, or the rubric's with the reason why."""
        floor = evaluate(intent, self._blueprint, radius)
        if time.monotonic() < self._rest_until:
            usage = Usage(model=self._model, attempts=0)
            return _fallback(floor, usage, "the model is left alone for a while")
        usage = Usage(model=self._model)
        started = time.monotonic()
        call = _Call(until=started + self._budget_s)
        verdict, reason = None, ""
        try:
            async with asyncio.timeout(self._budget_s):
                request = await self._request(intent, radius)
                usage = Usage(model=self._model, prompt_digest=digest(request))
                message = await self._ask(request, call)
            usage = self._paid(message, usage)  # whatever it says, before it is judged
            verdict = _verdict(message)
        except TimeoutError:
            before = f"; before: {call.failed}" if call.failed else ""
            reason = f"no answer within {self._budget_s:g} s{before}"
        except NoVerdict as error:
            reason = str(error)
        except Exception as error:  # the model's side is foreign: nothing of it stops governance
            reason = f"{type(error).__name__}: {error}"
        latency = round((time.monotonic() - started) * 1000)
        took = {"latency_ms": latency, "attempts": max(1, call.attempts)}
        usage = usage.model_copy(update=took)
        if verdict is None:
            return self._failed(floor, usage, reason)
        self._failures = 0
        return above(floor, verdict, usage)

    async def probe(self) -> str:
        """One small call that shows whether key, model and network work; returns the model's id.

        Raises:
            NoVerdict: it does not work; the text says why.
        """
        sdk = await self._sdk()
        try:
            async with asyncio.timeout(self._budget_s):
                message = await self._client.messages.create(
                    model=self._model,
                    max_tokens=1,
                    messages=[{"role": "user", "content": "Say yes."}],
                )
        except TimeoutError:
            raise NoVerdict(f"no answer within {self._budget_s:g} s") from None
        except sdk.AnthropicError as error:
            raise NoVerdict(_reason(error)) from error
        return str(message.model)

    async def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            await self._client.close()

    async def _request(self, intent: Intent, radius: BlastRadius) -> dict[str, Any]:
        sdk = await self._sdk()
        return {
            "model": self._model,
            "max_tokens": MAX_TOKENS,
            "system": system_blocks(self._blueprint.text, self._policies()),
            "messages": [{"role": "user", "content": user_text(intent, radius)}],
            "output_config": {
                "format": {"type": "json_schema", "schema": sdk.transform_schema(Verdict)}
            },
        }

    async def _ask(self, request: dict[str, Any], call: _Call) -> Any:
        """The model's message, asked for again while a fault may pass and the budget lasts."""
        sdk = await self._sdk()
        while True:
            call.attempts += 1
            try:
                return await self._client.messages.create(**request)
            except sdk.AnthropicError as error:
                call.failed = _reason(error)
                if call.attempts > self._retries or not passes(error):
                    raise NoVerdict(call.failed) from error
                pause_s = wait_s(error, call.attempts)
                self._spare(error, call)
            await asyncio.sleep(pause_s)

    def _spare(self, error: Any, call: _Call) -> None:
        """End at once what the other side asks to wait for longer than the budget lasts, and let
        the model alone for that long: asking earlier would be of no use to anybody.

        Raises:
            NoVerdict: it asks for longer.
        """
        asked_s = asked_for_s(error)
        ready = time.monotonic() + asked_s
        if ready >= call.until:
            self._rest_until = max(self._rest_until, min(ready, time.monotonic() + _REST_MAX_S))
            raise NoVerdict(f"{call.failed}, which asks to wait {asked_s:g} s") from error

    def _paid(self, message: Any, usage: Usage) -> Usage:
        """What a message took, by its own account.

        Raises:
            NoVerdict: it is no message at all.
        """
        used = getattr(message, "usage", None)
        if used is None:
            raise NoVerdict("the answer is no message of the Messages API")
        paid = {
            "model": str(message.model),
            "message_id": str(message.id),
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
            "cached_tokens": used.cache_read_input_tokens or 0,
            "cost_usd": self._prices.of(used) if self._prices else None,
        }
        return usage.model_copy(update=paid)

    async def _sdk(self) -> Any:
        """The SDK, imported where it is used (it takes seconds) and not on the event loop."""
        sdk = await asyncio.to_thread(__import__, "anthropic")
        if self._client is None:
            self._client = sdk.AsyncAnthropic(
                api_key=self._api_key,
                base_url=self._base_url,
                max_retries=0,  # asked again in ``_ask``, which knows how long there is
                timeout=self._budget_s,
            )
        return sdk

    def _failed(self, floor: Assessment, usage: Usage, reason: str) -> Assessment:
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_REST:
            self._failures = 0
            self._rest_until = time.monotonic() + self._rest_s
        _log.warning("model_gave_no_verdict", reason=reason, model=self._model)
        return _fallback(floor, usage, reason)


def above(floor: Assessment, verdict: Verdict, usage: Usage) -> Assessment:
    """The model's assessment with the rubric's findings as its floor."""
    score = round(verdict.alignment_score, 4)
    if floor.risk_level != "low":
        score = min(score, floor.alignment_score)
    risk = max(floor.risk_level, verdict.risk_level, key=RISKS.index)
    own = floor.self_reference or verdict.self_reference
    rubric_total = round(sum(line.points for line in floor.evidence), 4)
    difference = Evidence(
        criterion="model",
        points=round(score - rubric_total, 4),
        note="what the model's score adds to the rubric's",
    )
    said = tuple(
        Evidence(
            criterion=f"model: {line.criterion}",
            points=0.0,
            quote=line.quote,
            reference=line.principle,
            note=line.note,
        )
        for line in verdict.evidence
    )
    return floor.model_copy(
        update={
            "alignment_score": score,
            "aligned": score >= ALIGNED,
            "risk_level": risk,
            "risk_factors": _union(floor.risk_factors, verdict.risk_factors),
            "reasoning": verdict.reasoning,
            "recommendations": _union(verdict.recommendations, floor.recommendations),
            "tier": 0 if own else floor.tier,
            "self_reference": own,
            "effects": _union(floor.effects, verdict.effects),
            "evaluator": "claude",
            "evidence": (*floor.evidence, difference, *said),
            "usage": usage,
        }
    )


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _fallback(floor: Assessment, usage: Usage, reason: str) -> Assessment:
    recorded = usage.model_copy(update={"fallback_reason": reason[:500]})
    return floor.model_copy(update={"usage": recorded})


def _verdict(message: Any) -> Verdict:
    if message.stop_reason != "end_turn":
        raise NoVerdict(f"the model stopped early: {message.stop_reason}")
    text = "".join(block.text for block in message.content if block.type == "text")
    try:
        return Verdict.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise NoVerdict(f"the answer does not fit the form: {place} {first['msg']}") from error


def _reason(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    name = type(error).__name__
    return f"HTTP {status} from the model ({name})" if status else f"{name}: {error}"[:300]
