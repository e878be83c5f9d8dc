"""A generated service under Phoenix: it reads the platform's log and cannot write to it."""

from pathlib import Path

import pytest

from phoenix.group import Release
from tests.phoenix.running import running_group
from tests.support.nats import Server

pytestmark = pytest.mark.alone
SERVICE = '''
import os
from litestar import post
from infra.ports import Meta, Write
from domain.delivery_events import ServiceRecovered
from tests.phoenix.tiny import Tiny


class Guest(Tiny):
    def routes(self):
        @post("/dig")
        async def dig(kind: str) -> dict:
            """What a curious service would try."""
            ctx, meta = self._ctx, Meta(command_id="dig", actor="guest")
            write = Write(ServiceRecovered(at=ctx.clock.now(), name="dug"))
            try:
                if kind == "log":
                    await ctx.log.append([write], meta=meta)
                elif kind == "many":
                    await ctx.log.append_each([([write], meta)])
                elif kind == "around":
                    await ctx.log._log.append([write], meta=meta)
                elif kind == "objects":
                    await ctx.objects.put(b"mine")
                return {"done": True}
            except Exception as error:
                return {"done": False, "error": type(error).__name__}

        return [*super().routes(), dig]

    def figures(self):
        return {"key": "ANTHROPIC_API_KEY" in os.environ}


def create(ctx):
    return Guest(ctx)
'''


def artifact(folder: Path) -> Release:
    """An installed artifact that offers one service."""
    folder.mkdir()
    (folder / "guest_service.py").write_text(SERVICE)
    info = folder / "guest_service-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-service\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[phoenix.services]\nguest = guest_service:create\n")
    return Release(reference="guest", version="1", artifact=str(folder), digest="d" * 64)


async def test_a_generated_service_reads_the_log_and_has_no_right_to_write(
    server: Server, tmp_path: Path
) -> None:
    async with running_group(server, artifact(tmp_path / "guest")) as running:
        url = f"http://127.0.0.1:{running.base}"
        before = await running.log.last_position()
        assert (await running.http.get(f"{url}/who")).json()["terms"] == 1
        checked = (await running.http.get(f"{url}/dependencies")).json()
        assert checked["required"] == [{"name": "nats", "status": "available"}]
        answers = {
            kind: (await running.http.post(f"{url}/dig?kind={kind}")).json()
            for kind in ("log", "many", "around", "objects")
        }
        assert {kind: answer["done"] for kind, answer in answers.items()} == {
            "log": False,
            "many": False,
            "around": False,
            "objects": False,
        }, answers
        for kind in ("log", "many", "around"):
            assert answers[kind]["error"] == "LogRefused"
        assert await running.log.last("events.service.dug") is None
        assert before > 0
        assert (await running.health())["key"] is False
