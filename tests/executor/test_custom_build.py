"""Code that a model wrote goes the same way as all other, and the provenance names it."""

import hashlib
from pathlib import Path
from typing import Any

from infra.signing import public_key, verify
from tests.executor.world import executor
from tests.generator.specs import INVOICES, LATE_FEE

PARTS: dict[str, Any] = {name: INVOICES[name] for name in ("records", "rules", "scenarios")}
HANDLER: dict[str, Any] = INVOICES["custom"][0]


async def test_custom_code_is_tested_built_and_on_the_provenance(tmp_path: Path) -> None:
    async with executor(tmp_path) as site:
        build = await site.accept({**PARTS, "custom": [HANDLER]})
        done = await site.build(build, "healthy", "failed", "rolled_back")
        assert done["status"] == "healthy", done
        envelope = await site.world.ctx.objects.get(done["provenance_digest"])
        unpacked = site.launcher.installed[0] / "parking_lots" / "handlers" / "late_fee.py"
        assert LATE_FEE.strip() in unpacked.read_text()
    definition = verify(envelope, public_key(tmp_path))["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["custom"] == [
        {
            "name": "late_fee",
            "model": "model-x",
            "prompt": f"sha256:{'a' * 64}",
            "code": f"sha256:{hashlib.sha256(LATE_FEE.strip().encode()).hexdigest()}",
        }
    ]


async def test_a_handler_that_does_not_do_what_its_examples_say_is_not_deployed(
    tmp_path: Path,
) -> None:
    wrong = {"record": {"amount": "100", "days_late": 1}, "given": {}, "expect": {"fee": "6"}}
    handler = {**HANDLER, "examples": [*HANDLER["examples"], wrong]}
    async with executor(tmp_path) as site:
        build = await site.accept({**PARTS, "custom": [handler]})
        done = await site.build(build, "healthy", "failed", "rolled_back")
        assert done["status"] == "failed"
        assert done["reason"].startswith("test: 1 of")
        assert await site.events("events.deployment.parking-lots") == []
