"""The index of open intents: the same answers as asking every one of them, whatever they are."""

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.intake import OpenIntent, find_duplicate, wish_of
from domain.open_intents import OpenIntents

WORDS = ("track", "revenue", "by", "source", "month", "tickets", "teams", "shelter", "kiln", "x")
Text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)


def intent(number: int, name: str, purpose: str) -> OpenIntent:
    return OpenIntent(intent_id=str(number), service_name=name, wish=wish_of(name, purpose))


@given(known=st.lists(Text, max_size=30), asked=Text, drop=st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_a_likeness_is_found_exactly_when_asking_each_would_find_it(
    known: list[str], asked: str, drop: int
) -> None:
    several = [intent(n, f"service-{n % 7}", purpose) for n, purpose in enumerate(known)]
    index = OpenIntents(several)
    for gone in several[:drop]:
        index.remove(gone.intent_id)
    left = several[drop:]
    assert len(index) == len(left)
    for purpose in (asked, *known):
        for name in ("service-1", "another"):
            found, expected = index.twin(name, purpose), find_duplicate(name, purpose, left)
            assert (found is None) == (expected is None)
            assert found is None or find_duplicate(name, purpose, [found]) is found


@given(purpose=Text, swapped=st.integers(0, 39), word=st.sampled_from(WORDS))
@settings(max_examples=300, deadline=None)
def test_one_changed_word_is_judged_as_by_comparison(purpose: str, swapped: int, word: str) -> None:
    words = f"{purpose} {purpose}".split()
    words[swapped % len(words)] = word
    first = intent(1, "one", purpose)
    changed = " ".join(words)
    found = OpenIntents([first]).twin("two", changed)
    assert (found is None) == (find_duplicate("two", changed, [first]) is None)


@given(
    parts=st.lists(Text, min_size=1, max_size=12),
    known=st.lists(st.lists(st.integers(0, 11), max_size=9), max_size=12),
    drop=st.integers(0, 4),
    times=st.sampled_from((1, 2, 6)),
)
@settings(max_examples=150, deadline=None)
def test_intents_of_one_template_are_told_apart_as_by_comparison(
    parts: list[str], known: list[list[int]], drop: int, times: int
) -> None:
    """Some of the same sentences, repeated up to sizes whose pieces say nothing."""
    texts = [" ".join(parts[n % len(parts)] for n in (0, *of)) for of in known]
    texts = [" ".join(f"{text} {n}" for n in range(times)) for text in texts]
    several = [intent(n, f"service-{n}", text) for n, text in enumerate(texts)]
    index = OpenIntents(several)
    for gone in several[:drop]:
        index.remove(gone.intent_id)
    for text in texts:
        found, expected = index.twin("x", text), find_duplicate("x", text, several[drop:])
        assert (found is None) == (expected is None)
        assert found is None or find_duplicate("x", text, [found]) is found


def test_the_same_name_is_a_twin_until_every_intent_of_it_has_ended() -> None:
    index = OpenIntents([intent(1, "one", "aaa bbb"), intent(2, "one", "ccc ddd")])
    for last in ("1", "2"):
        assert index.twin("one", "something else altogether") is not None
        index.remove(last)
    assert index.twin("one", "something else altogether") is None
    index.remove("2")
    assert len(index) == 0


def test_of_several_with_one_id_the_last_is_taken_in() -> None:
    index = OpenIntents([intent(1, "one", "aaa bbb"), intent(1, "two", "ccc ddd")])
    assert [known.service_name for known in index] == ["two"]
    assert index.twin("one", "x") is None
    index.remove("1")
    assert index.twin("two", "ccc ddd") is None


def test_an_intent_taken_in_again_stands_there_once() -> None:
    index = OpenIntents([intent(1, "one", "track revenue by month")])
    index.add(intent(1, "two", "tickets of several teams"))
    assert [known.service_name for known in index] == ["two"]
    assert index.twin("one", "x") is None
    assert index.twin("three", "tickets of several teams two") is not None
