"""A Bloom filter: all that was added is in it, and of the rest nearly nothing."""

from hypothesis import given
from hypothesis import strategies as st

from infra.bloom import BloomFilter


@given(st.lists(st.text()))
def test_all_that_was_added_is_in_it(texts: list[str]) -> None:
    known = BloomFilter()
    for text in texts:
        known.add(text)
    assert all(text in known for text in texts)


def test_few_others_seem_to_have_been_added() -> None:
    known = BloomFilter()
    assert not any(str(number) in known for number in range(1000))
    for number in range(100_000):
        known.add(f"added/{number}")
    others = sum(f"other/{number}" in known for number in range(10_000))
    assert 50 < others < 300  # (1 - e^(-3 * 100,000 / 2^20))^3: 154
