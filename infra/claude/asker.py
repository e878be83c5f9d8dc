"""One question to a model through the Anthropic SDK, answered in a form that is asked for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from domain.canonical import digest
from domain.errors import PhoenixError

MAX_TOKENS = 16_000
TIMEOUT_S = 60.0
RETRIES = 2


class NoAnswer(PhoenixError):
    """The model gave no usable answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``note`` (model, message id, tokens) is for the record; ``prompt_digest`` names the request
    (hex SHA-256 of its canonical JSON)."""

    text: str
    model: str
    note: str
    prompt_digest: str


class Asker:
    """Asks one model. ``base_url`` None: as the SDK reads it from the environment."""

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
    ) -> None:
        self._api_key, self._base_url, self._retries = api_key, base_url, retries
        self._timeout_s = timeout_s
        self._model = model
        self._client: Any = None

    async def ask(
        self, system: str, messages: Sequence[dict[str, str]], form: type[BaseModel]
    ) -> Reply:
        """Return what the model wrote; it may still not fit the form.

        Raises:
            NoAnswer: an error, an outage, a refusal or an answer that was cut.
        """
        import anthropic  # seconds to import: only where a model is really asked

        if self._client is None:
            self._client = await asyncio.to_thread(self._connect)
        request: dict[str, Any] = {
            "model": self._model,
            "max_tokens": MAX_TOKENS,
            "system": system,
            "messages": list(messages),
            "output_config": {
                "format": {"type": "json_schema", "schema": anthropic.transform_schema(form)}
            },
        }
        try:
            async with asyncio.timeout(self._timeout_s * (self._retries + 1)):
                answer = await self._client.messages.create(**request, timeout=self._timeout_s)
        except (anthropic.AnthropicError, TimeoutError, ValidationError) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}"[:500]) from error
        return _reply(answer, digest(request))

    async def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            await self._client.close()

    def _connect(self) -> Any:
        import anthropic

        return anthropic.AsyncAnthropic(
            api_key=self._api_key, base_url=self._base_url, max_retries=self._retries
        )


def _reply(answer: Any, prompt_digest: str) -> Reply:
    """The text of an answer; a refusal or a cut answer is none."""
    stopped = str(answer.stop_reason)
    if stopped in ("refusal", "max_tokens"):
        raise NoAnswer(f"the model stopped with {stopped} (message {answer.id})")
    text = "".join(block.text for block in answer.content if block.type == "text")
    used = answer.usage
    note = (
        f"{answer.model}, message {answer.id}: "
        f"{used.input_tokens} tokens in, {used.output_tokens} out"
    )
    return Reply(text, str(answer.model), note, prompt_digest)
