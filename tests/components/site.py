"""A running system whose parts are built from a copy of the source, and a load on one of them."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infra.components import ABOUT, SHARED
from infra.settings import PORT_STEP
from infra.trust import TRUST
from tests.integration.system import System, until
from tests.support.ports import free_shift

ROOT = Path(__file__).resolve().parents[2]


def copy_of_the_source(folder: Path) -> Path:
    """Return a copy that a test may change."""
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for name in (*SHARED, "services", "tests", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))


@contextlib.contextmanager
def site(folder: Path) -> Iterator["Site"]:
    source = copy_of_the_source(folder / "source")
    system = System(folder / "data", free_shift(), {"PHOENIX_SOURCE": str(source)})
    system.start()
    try:
        names = ("ann", "bob", "cora")
        tokens = [system.json("user", "add", name)["token"] for name in names]
        yield Site(system, source, tokens)
    finally:
        if system.process is not None:
            system.stop()


@dataclass
class Site:
    system: System
    source: Path
    tokens: list[str]

    def submit(self, name: str) -> str:
        """Submit the intent of a component and let people approve it; return the intent's id."""
        purpose, features = ABOUT[name]
        body = {
            "service_name": name,
            "purpose": purpose,
            "key_features": features,
            "service_type": "infrastructure",
            "kind": "component",
        }
        intent_id = str(self.system.post("intent-queue", "/intents/submit", body)["intent_id"])
        self.system.wait_for(intent_id, "awaiting_approval", timeout_s=60)
        self.approve(intent_id)
        return intent_id

    def approve(self, intent_id: str) -> None:
        """Let as many people as it takes say yes."""
        for token in self.tokens:
            self._approve(intent_id, token)

    def _approve(self, intent_id: str, token: str) -> None:
        pending: list[dict[str, Any]] = []

        def shown() -> bool:
            found = self.system.get("approval-dashboard", "/api/approvals/pending")["items"]
            pending[:] = [item for item in found if item["intent_id"] == intent_id]
            return bool(pending) or self.system.status_of(intent_id) != "awaiting_approval"

        until(shown, timeout_s=30)
        if pending:
            url = f"/api/approvals/{pending[0]['approval_id']}/approve"
            httpx.post(
                self.system.url("approval-dashboard", url),
                json={},
                headers={"Authorization": f"Bearer {token}"},
                timeout=15,
                trust_env=False,
                verify=TRUST,
            )

    def health(self, name: str) -> list[dict[str, Any]]:
        """What the three instances say."""
        base = self.system.url(name).rpartition(":")[2]
        answers = []
        for number in range(3):
            url = f"http://127.0.0.1:{int(base) + PORT_STEP * number}/health"
            answers.append(httpx.get(url, timeout=15, trust_env=False, verify=TRUST).json())
        return answers

    def versions(self, name: str) -> set[str]:
        with contextlib.suppress(httpx.HTTPError, ValueError):
            return {str(answer["version"]) for answer in self.health(name)}
        return set()

    def build_status(self, name: str) -> str:
        """Of the newest build; "" while there is none, or nobody who says."""
        with contextlib.suppress(httpx.HTTPError, LookupError, ValueError):
            return str(self.build_of(name)["status"])
        return ""

    def build_of(self, name: str) -> dict[str, Any]:
        """The newest build."""
        url = self.system.url("build-executor", "/builds")
        found = httpx.get(
            url, params={"service": name}, timeout=15, trust_env=False, verify=TRUST
        ).json()
        return dict(found["items"][0])
