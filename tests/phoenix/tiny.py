"""A real, tiny service for tests of Phoenix: its leader answers every raw intent with one event."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from litestar import Request, get, post
from pydantic import BaseModel

from domain.delivery_events import ServiceRecovered
from domain.view import Table
from infra.http.requests import command_id
from infra.ports import Context, Meta, Term, Write


class Lives(BaseModel):
    count: int = 0


LIVES = Table(
    name="lives",
    version=1,
    subjects=("events.leadership.tiny",),
    row=Lives,
    keys=lambda recorded: ("all",),
    fold=lambda row, recorded, key: Lives(count=(row.count if row else 0) + 1),
)


class Tiny:
    name = "tiny"
    version = "1"
    tier = 2
    features: Sequence[str] = ()
    dependencies: Sequence[str] = ()
    tables: Sequence[Table[Any]] = (LIVES,)
    open_writes = True

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.acting = False

    def routes(self) -> Sequence[Any]:
        @get("/who")
        async def who() -> dict[str, Any]:
            return {"pid": os.getpid(), "terms": self._terms()}

        @get("/slow")
        async def slow(ms: int) -> dict[str, Any]:
            await asyncio.sleep(ms / 1000)
            return {"pid": os.getpid()}

        @post("/notes")
        async def note(request: Request[Any, Any, Any]) -> dict[str, Any]:
            """A command that is done once, however often it is sent under its key."""
            key = request.headers["Idempotency-Key"]
            event = ServiceRecovered(at=self._ctx.clock.now(), name=key)
            meta = Meta(command_id=command_id(request), actor="client", correlation_id=key)
            # "Not there yet" holds for ever; the server's memory of message ids does not.
            (position,) = await self._ctx.log.append([Write(event, expected=0)], meta=meta)
            return {"position": position}

        @post("/hang")
        async def hang() -> None:
            time.sleep(3600)  # noqa: ASYNC251 - a loop that no longer turns

        return [who, slow, note, hang]

    def _terms(self) -> int:
        row = self._ctx.views.get(LIVES, "all")
        return row.count if row else 0

    def figures(self) -> Mapping[str, object]:
        return {"acting": self.acting}

    async def lead(self, term: Term) -> None:
        self.acting = True
        await term.ended.wait()
        self.acting = False


def create(ctx: Context) -> Tiny:
    return Tiny(ctx)


class Notes:
    """Tables of its own, as a generated service has them; a file says when they have caught up."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.problem = ""

    @property
    def ready(self) -> bool:
        return (self._directory / "caught-up").exists()

    @property
    def position(self) -> int:
        return 7

    @property
    def lag(self) -> int:
        return 0

    async def reach(self, position: int, *, timeout_s: float = 5.0) -> None: ...


class Generated(Tiny):
    """A service with views and an end of its own."""

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._directory = Path(ctx.data_dir)
        self.views = Notes(self._directory)

    def close(self) -> None:
        (self._directory / f"closed-{os.getpid()}").touch()


def generated(ctx: Context) -> Generated:
    return Generated(ctx)


def broken(ctx: Context) -> Tiny:
    raise RuntimeError("this release does not start")


class Unfit(Tiny):
    """Starts, answers and stands by, but falls as soon as it leads."""

    async def lead(self, term: Term) -> None:
        raise RuntimeError("this release cannot lead")


def unfit(ctx: Context) -> Tiny:
    return Unfit(ctx)


__all__ = ["broken", "create", "generated", "unfit"]
