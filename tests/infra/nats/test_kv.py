"""The compare-and-set bucket, the objects and the users, on a real server."""

import asyncio
import hashlib
import stat
from pathlib import Path

import pytest

from domain.errors import ConflictError, Invalid, LogRefused, NotFound, PoisonError
from infra.clock import SystemClock
from infra.nats.connection import Connection
from infra.nats.kv import CasBucket
from infra.nats.objects import JetStreamObjects
from infra.nats.setup import ARTIFACTS, LEASES, USERS
from infra.nats.users import KvUsers


@pytest.fixture
def leases(nc: Connection) -> CasBucket:
    return CasBucket(nc, LEASES)


async def test_a_key_is_created_once_and_changed_by_whoever_knows_its_revision(
    leases: CasBucket,
) -> None:
    assert await leases.get("k") is None
    one = await leases.create("k", b"1")
    assert await leases.get("k") == (b"1", one)
    with pytest.raises(ConflictError):
        await leases.create("k", b"x")
    two = await leases.update("k", b"2", one)
    with pytest.raises(ConflictError):
        await leases.update("k", b"x", one)
    assert await leases.get("k") == (b"2", two)


async def test_a_deleted_key_can_be_created_again(leases: CasBucket) -> None:
    one = await leases.create("k", b"1")
    with pytest.raises(ConflictError):
        await leases.delete("k", one + 7)
    await leases.delete("k", one)
    assert await leases.get("k") is None
    assert await leases.keys() == {}
    two = await leases.create("k", b"2")
    assert await leases.keys() == {"k": two}


async def test_of_many_that_race_for_a_key_exactly_one_wins(leases: CasBucket) -> None:
    outcomes = await asyncio.gather(
        *(leases.create("k", f"{n}".encode()) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 19


async def test_a_watch_shows_the_value_now_and_every_later_state(leases: CasBucket) -> None:
    async with asyncio.timeout(5):
        watch = leases.watch("k")
        assert await anext(watch) is None
        one = await leases.create("k", b"1")
        assert await anext(watch) == (b"1", one)
        two = await leases.update("k", b"2", one)
        assert await anext(watch) == (b"2", two)
        await leases.delete("k")
        assert await anext(watch) is None
        await watch.aclose()  # type: ignore[attr-defined]


async def test_a_bucket_that_does_not_exist_is_named(nc: Connection) -> None:
    with pytest.raises(LogRefused, match="KV_NOWHERE"):
        await CasBucket(nc, "NOWHERE").get("k")


async def test_a_blob_is_found_by_its_digest(nc: Connection) -> None:
    objects = JetStreamObjects(nc)
    data = bytes(range(256)) * 2000  # several chunks
    digest = await objects.put(data, description="a wheel")
    assert digest == hashlib.sha256(data).hexdigest()
    assert await objects.put(data) == digest
    assert await objects.get(digest) == data
    assert await objects.get(await objects.put(b"")) == b""
    with pytest.raises(NotFound):
        await objects.get("0" * 64)


async def test_a_blob_under_a_wrong_name_is_not_handed_out(nc: Connection) -> None:
    objects = JetStreamObjects(nc)
    wrong = "0" * 64
    bucket = await nc.jetstream().object_store(ARTIFACTS)
    await bucket.put(wrong, b"something else")
    with pytest.raises(PoisonError):
        await objects.get(wrong)


@pytest.fixture
def users(nc: Connection) -> KvUsers:
    return KvUsers(CasBucket(nc, USERS), SystemClock())


async def test_a_token_belongs_to_the_person_it_was_made_for_until_it_is_revoked(
    users: KvUsers,
) -> None:
    ada = await users.add("ada", frozenset({"approver"}))
    bob = await users.add("bob", {"reader"})
    person = await users.person(ada)
    assert person is not None
    assert (person.name, person.roles) == ("ada", frozenset({"approver"}))
    assert await users.people("approver") == ["ada"]
    assert await users.people("approver", "reader") == await users.people() == ["ada", "bob"]
    assert await users.person("guess") is None
    assert await users.person("") is None

    await users.revoke("ada")
    assert await users.person(ada) is None
    assert await users.people("approver") == []
    assert await users.people() == ["bob"]
    assert await users.person(bob) is not None

    again = await users.add("ada", {"admin"})
    assert again != ada
    assert await users.person(ada) is None
    assert await users.person(again) is not None


async def test_users_need_a_plain_name_and_known_roles(users: KvUsers) -> None:
    for name in ("", "a.b", "a b", "*", "x" * 65):
        with pytest.raises(Invalid):
            await users.add(name, {"admin"})
    for roles in ((), ("king",)):
        with pytest.raises(Invalid):
            await users.add("ada", roles)
    await users.add("ada", {"admin"})
    with pytest.raises(ConflictError):
        await users.add("ada", {"admin"})
    with pytest.raises(NotFound):
        await users.revoke("bob")


async def test_the_local_administrator_is_made_once_and_only_the_owner_reads_the_token(
    users: KvUsers, tmp_path: Path
) -> None:
    path = await users.ensure_admin(tmp_path)
    token = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    person = await users.person(token)
    assert person is not None
    assert person.roles == {"admin", "approver"}

    await users.ensure_admin(tmp_path)
    assert path.read_text().strip() == token
    assert [user.name for user in await users.list()] == ["admin"]


async def test_no_token_is_stored(users: KvUsers, nc: Connection) -> None:
    token = await users.add("ada", {"admin"})
    bucket = CasBucket(nc, USERS)
    for key in await bucket.keys():
        found = await bucket.get(key)
        assert found is not None
        assert token.encode() not in found[0]
