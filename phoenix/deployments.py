"""Makes what runs equal to what the log wants: installs, starts, rolls and stops deployed services.

Source      the view ``projections.desired`` over ``events.deployment.>``.
Failure     of one service is shown with it and never stops the others; what failed for a reason
            that may pass (a busy port, an object not there yet) is tried again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from domain.delivery_events import DeploymentStarted
from domain.errors import PhoenixError
from infra.ports import Views
from phoenix.group import Group, Proof, Release
from projections.desired import DESIRED, Desired

AGAIN_S = 3.0
READY_S = 60.0

_log = structlog.get_logger(__name__)

Install = Callable[[DeploymentStarted], Awaitable[Path]]


class Groups(Protocol):
    """Where groups live (the launcher)."""

    def find(self, service: str) -> Group | None: ...

    async def add(self, service: str, base: int, release: Release) -> Group: ...

    async def remove(self, service: str, reason: str) -> None: ...

    def builtin(self, service: str) -> Release | None: ...

    def trouble(self, service: str, reason: str) -> None: ...

    def refused(self, started: DeploymentStarted, reason: str) -> None:
        """A release was not rolled out: whoever waits for it must not wait in vain."""


class Deployments:
    """``run`` follows the view until cancelled; one task a service does the work."""

    def __init__(
        self, views: Views, groups: Groups, install: Install, *, wanted: Callable[[str], bool]
    ) -> None:
        self._views = views
        self._groups = groups
        self._install = install
        self._wanted = wanted
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._given_up: dict[str, str] = {}  # service -> a release that did not become ready

    async def run(self) -> None:
        try:
            while True:
                for row in self._views.all(DESIRED):
                    if self._wanted(row.service_name) and row.service_name not in self._tasks:
                        self._begin(row)
                await self._views.changed(timeout_s=AGAIN_S)
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def prepare(self, service: str, group: Group) -> None:
        """Give a group that has not started the release that the log wants, if there is one.

        What cannot be installed is shown, and tried again by ``run``; the source starts meanwhile.
        """
        row = self._views.get(DESIRED, service)
        release = self._release(row) if row is not None else None
        if row is None or row.release is None or release is None or not self._wanted(service):
            return
        try:
            folder = await self._install(row.release)
        except (PhoenixError, OSError) as error:
            self._groups.trouble(service, str(error))
            return
        group.release = replace(release, artifact=str(folder))

    def _begin(self, row: Desired) -> None:
        if self._settled(row):
            return
        name = row.service_name
        task = self._tasks[name] = asyncio.create_task(self._converge(name))
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    def _settled(self, row: Desired) -> bool:
        group = self._groups.find(row.service_name)
        release = self._release(row)
        if release is None:
            return group is None
        if self._given_up.get(row.service_name) == release.identity:
            return True
        self._given_up.pop(row.service_name, None)
        return group is not None and group.runs(release)

    def _release(self, row: Desired) -> Release | None:
        """What should run, without its folder; None: nothing."""
        if row.release is None:
            return self._groups.builtin(row.service_name)
        digest = row.release.artifact_digest
        return Release(reference=row.service_name, version=row.wanted, digest=digest)

    async def _converge(self, service: str) -> None:
        row = self._views.get(DESIRED, service)
        if row is None:
            return
        try:
            await self._make(row)
        except (PhoenixError, OSError) as error:
            _log.warning("deployment_waits", service=service, reason=str(error))
            self._groups.trouble(service, str(error))
            await asyncio.sleep(AGAIN_S)
        except Exception as error:
            _log.error("deployment_failed", service=service, exc_info=error)
            self._groups.trouble(service, f"{type(error).__name__}: {error}")
            await asyncio.sleep(AGAIN_S)

    def _proof(self, release: Release, service: str) -> Proof | None:
        """How a new instance is asked whether it is healthy; a release without a digest is the
        installed source: there is nothing before it to go back to."""
        if not release.digest:
            return None

        async def asked(port: int, instance: str) -> str:
            from infra.probe import client, instance_problem  # slow to import, rarely needed

            async with client() as asking:
                url = f"http://127.0.0.1:{port}"
                return await instance_problem(asking, url, service, release.version, instance)

        return asked

    async def _make(self, row: Desired) -> None:
        service, started = row.service_name, row.release
        release = self._release(row)
        if release is None:
            await self._groups.remove(service, "retired")
            self._given_up.pop(service, None)
            return
        if started is not None:
            folder = await self._install(started)
            release = replace(release, artifact=str(folder))
        group = self._groups.find(service)
        if group is None:
            assert started is not None  # a built-in service always has its group
            await self._groups.add(service, started.port, release)
        elif not await group.roll(release, self._proof(release, service)):
            self._given_up[service] = release.identity
            if started is not None:
                self._groups.refused(started, group.error)
            return
        self._given_up.pop(service, None)
