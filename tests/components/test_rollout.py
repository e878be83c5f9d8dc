"""Parts of this system are built and rolled out by the system itself, with real processes."""

from pathlib import Path

import pytest

from tests.components.load import Call, Load
from tests.components.site import Site, change, site
from tests.integration.system import until

pytestmark = pytest.mark.timeout(280)
PART = "intent-queue"
SERVICE = "services/intent_queue/service.py"


def test_a_part_is_replaced_and_brought_back_under_load_without_a_failed_request(
    tmp_path: Path,
) -> None:
    with site(tmp_path) as running:
        (before,) = running.versions(PART)
        epoch = running.system.leader(PART)["epoch"]
        with Load([Call(PART, "GET", running.system.url(PART, "/intents"))]) as load:
            intent = running.submit(PART)
            running.system.wait_for(intent, "completed", timeout_s=150)
            assert running.versions(PART) == {f"{before}+b1"}
            assert running.system.leader(PART)["epoch"] > epoch
            build = running.build_of(PART)
            assert build["tests_passed"] > 0
            running.system.phoenix("build", "rollback", build["build_id"])
            until(lambda: running.versions(PART) == {before}, timeout_s=60)
        assert load.failed == []
        assert load.answered > 100


def test_a_deployed_part_runs_again_after_a_restart(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        (before,) = running.versions(PART)
        change(running.source / SERVICE, "tier = 0", "tier = 0  # changed")
        running.system.wait_for(running.submit(PART), "completed", timeout_s=150)
        assert running.system.stop() == 0
        running.system.start()
        assert running.versions(PART) == {f"{before}+b1"}


def test_what_is_not_healthy_never_leads_and_goes_back_by_itself(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        (before,) = running.versions(PART)
        leader = running.system.leader(PART)
        _break_where_it_runs(running)
        intent = running.submit(PART)
        running.system.wait_for(intent, "failed", timeout_s=150)
        # The intent ends with DeploymentFailed; going back is the executor's next event.
        until(lambda: running.build_of(PART)["status"] == "rolled_back", timeout_s=60)
        assert "is not healthy" in running.build_of(PART)["reason"]
        until(lambda: running.versions(PART) == {before}, timeout_s=60)
        after = running.system.leader(PART)
        assert (after["pid"], after["epoch"]) == (leader["pid"], leader["epoch"])


def test_what_falls_when_it_leads_goes_back_by_itself(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        (before,) = running.versions(PART)
        change(
            running.source / SERVICE,
            "    async def lead(self, term: Term) -> None:\n",
            "    async def lead(self, term: Term) -> None:\n"
            "        from pathlib import Path\n\n"
            "        if (Path(self._ctx.data_dir) / 'launcher.lock').exists():\n"
            "            raise RuntimeError('broken on purpose')\n",
        )
        running.submit(PART)
        until(lambda: running.build_status(PART) == "rolled_back", timeout_s=200)
        assert "cannot lead" in running.build_of(PART)["reason"]
        until(lambda: running.versions(PART) == {before}, timeout_s=60)
        until(lambda: running.system.leader(PART)["role"] == "active", timeout_s=30)


def test_a_part_whose_tests_fail_is_not_deployed(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        before = running.versions(PART)
        test = running.source / "tests" / "intent_queue" / "test_intent_queue.py"
        test.write_text(test.read_text() + "\n\ndef test_no() -> None:\n    assert 1 == 2\n")
        intent = running.submit(PART)
        running.system.wait_for(intent, "failed", timeout_s=150)
        build = running.build_of(PART)
        assert build["status"] == "failed"
        assert "1 of" in build["reason"]
        assert running.system.get("build-executor", "/deployments")["items"] == []
        assert running.versions(PART) == before


def _break_where_it_runs(running: Site) -> None:
    """Its tests pass, but in a running system its ``/health`` does not answer."""
    change(
        running.source / SERVICE,
        "    def figures(self) -> Mapping[str, object]:\n",
        "    def figures(self) -> Mapping[str, object]:\n"
        "        from pathlib import Path\n\n"
        "        if (Path(self._ctx.data_dir) / 'launcher.lock').exists():\n"
        "            raise RuntimeError('broken on purpose')\n",
    )
