"""``phoenix doctor`` with a key: the command itself, as a person runs it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.fake_claude import Reply, Status, Step, fake_claude


@pytest.mark.parametrize(
    ("step", "ok", "found"),
    [
        (Reply("yes"), True, "answers"),
        (Status(401), False, "401"),
    ],
)
async def test_the_doctor_asks_the_model_with_the_real_key(
    tmp_path: Path, step: Step, ok: bool, found: str
) -> None:
    """The command itself, with one small call over real HTTP; a wrong key is a line."""
    with fake_claude(step) as fake:
        env = {
            "PATH": os.environ["PATH"],
            "PHOENIX_DATA_DIR": str(tmp_path / "data"),
            "ANTHROPIC_API_KEY": "sk-test",
            "ANTHROPIC_BASE_URL": fake.url,
        }
        command = Path(sys.executable).with_name("phoenix")
        process = await asyncio.create_subprocess_exec(
            *(str(command), "doctor", "--json"),
            env=env,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    (model,) = [line for line in json.loads(said)["checks"] if line["check"] == "model"]
    assert (model["ok"], len(fake.requests)) == (ok, 1)
    assert found in model["found"]
    assert fake.requests[0]["max_tokens"] == 1
