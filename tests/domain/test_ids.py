"""Ids from names are the standard's."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from domain.ids import name_id


@given(st.uuids(), st.text())
def test_an_id_is_the_uuid_of_version_5(namespace: UUID, name: str) -> None:
    assert name_id(namespace.bytes, name) == str(uuid5(namespace, name))
