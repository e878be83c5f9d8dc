"""Loops that end together."""

import asyncio

import pytest

from infra.together import until_first


async def test_the_first_end_ends_all_and_its_error_is_told() -> None:
    ended = []

    async def lasting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # an end may take its time
            ended.append("lasting")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await until_first(lasting(), failing())
    assert ended == ["lasting"]


async def test_cancelling_it_cancels_all() -> None:
    started, ended = asyncio.Event(), []

    async def lasting() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("lasting")

    task = asyncio.create_task(until_first(lasting()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["lasting"]
