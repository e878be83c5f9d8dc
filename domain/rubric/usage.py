"""How words are used: verbs among nouns, English among other languages.

A word's neighbours tell most of it: "order the parts" acts, "the order of parts" does not.
"""

from collections.abc import Iterator

from domain.rubric import vocabulary as v
from domain.rubric.words import Clause

_OBJECT = v.stems("the a an our its their my your his her them us me him it")
_MODAL = v.stems("can will may must should could would might shall cannot")
_HELPERS = v.stems("also not only then automatically never always still be have do")
# Function words that other languages do not have, too, and those that only they have.
_ENGLISH = v.FUNCTION - v.stems("a an as per in on or no so was me he also i my up our us any")
_FOREIGN = v.concept(
    "der die das und fur mit von zu den ist ein eine nach bitte alle pro oder bei im am vom zum"
    " le la les des du de un une et pour par dans avec sur chaque tous leur que qui nous"
    " el los las del una para con por cada quiero todos y sin sus"
    " il lo gli di che ogni tutti nel della dei het een van voor en met alle naar elke"
    " na sie w z co dla przez jest oraz"
).singles
_FOREIGN_ENDINGS = (
    *("ieren", "ungen", "lich", "keit", "heit", "schen", "cion", "ciones", "miento", "mente"),
    *("aux", "eux", "oire", "ique", "czny", "owac", "zioni", "ijk", "kaufen", "geben"),
)
LISTED = 2  # commas
_JUDGED_ELSEWHERE = v.stems("approve reject accept decline")
_NO_OBJECT = v.FUNCTION - _OBJECT
SHORT = 3  # words; a shorter clause is a name in whatever language
_NO_VERB = v.FUNCTION | v.GENERIC
_BESIDE_VERB = v.DETERMINERS | _MODAL
_LEADING_ON = v.stems(
    "that which who whom so until whether though although if when while because before after"
    " whatever whoever however as once unless where"
)
# What a thing is or has says how it is kept; it is no act of its own.
_BEING = _MODAL | v.stems("is are was were be been being has have had do does did")
# What things do by themselves, or what is mere keeping: "when stock falls".
_PLAIN = v.OBSERVE | v.stems(
    "need use want fall arrive come go run become take cost hold belong contain enter book see"
    " borrow reserve vote check note mark search find bring return stay happen rise add create"
    " suggest propose open close finish start end order reorder pick rent lend know like stop play"
    " drop grow reach exceed fill rest clash overlap lack write hand hang lie stand leave send know"
)
# What people may be let do, since it is kept as a record: "let members book a court".
_LET = v.stems(
    "enter book see borrow reserve vote check note mark search find return add suggest propose"
    " order reorder pick rent lend record list compare look count plan rate choose cancel swap"
)
# Words of grammar that set a case apart from the rest. Plain records have no exceptions.
_APART = frozenset(
    ("only", "nothing", "whoever", "whatever", "though", "although", "cannot", "unless", "except")
) | {"instead", "others", "rather"}
_APART_PAIRS = frozenset((("behalf", "of"), ("whether", "or")))
_APART_FIRST = _APART | {"this"} | {first for first, _ in _APART_PAIRS}
_REACH = 6  # words after a leading word within which its verb stands


def is_act(clause: Clause, index: int) -> bool:
    """Is the word used as a verb for what the service does? "Wiped by the dealer" is not."""
    if clause.words[index].endswith("ed") and clause.stems[index + 1 : index + 2] == ("by",):
        return False
    if clause.stems[index] not in v.NOUN_OR_VERB:
        return True
    before = clause.stems[index - 1] if index else ""
    after = clause.stems[index + 1] if index + 1 < len(clause.stems) else ""
    if after in v.DETERMINERS:
        return before not in v.DETERMINERS and before not in v.BEFORE_NOUN
    if after in v.AFTER_NOUN or after in v.OBSERVE or clause.words[index].endswith("ing"):
        return False
    return not before or before in v.BEFORE_VERB


def unknown_act(clause: Clause) -> str:
    """A word that stands where a verb stands and is none that the rubric knows; "" without one."""
    if _BESIDE_VERB.isdisjoint(clause.stems):
        return ""
    for verb in _verbs(clause):
        if verb not in v.KNOWN_ACTS:
            return verb
    return ""


def foreign_main(clause: Clause) -> str:
    """The first word, where it is a verb that does more than keep records; "" otherwise."""
    word, spoken = clause.stems[0], clause.words[0]
    after = clause.stems[1] if len(clause.stems) > 1 else ""
    if word in v.ROUTINE_MAIN or not word.isalpha() or spoken.endswith(("ing", "ed")):
        return ""
    if word in v.ACTS_UPON:
        return "" if _lets_record(clause) else spoken
    if word in v.FUNCTION or word in _JUDGED_ELSEWHERE or clause.words[:2] == ("write", "down"):
        return ""  # who decides on what is asked elsewhere
    if after in v.DETERMINERS and (word in v.HARMING or word in v.FIRST_NOUN):
        return spoken
    acts = word in v.ALL_ACTS and spoken[-1:] != "s"
    if spoken.endswith("s") and word in v.ALL_ACTS:  # "prints labels", but not "prints of a label"
        named = after in _NO_OBJECT or after in v.AFTER_NOUN
        participle = clause.words[1].endswith(("ed", "en")) if after else False
        return "" if named or participle else spoken
    noun = word in v.FIRST_NOUN or after in v.AFTER_NOUN
    return spoken if acts and not noun else ""


def _lets_record(clause: Clause) -> bool:
    """Is somebody let do what is then kept as a record: "let members book a court"?"""
    acts = (word for word in clause.stems[1 : 2 + _REACH] if word in v.ALL_ACTS)
    return next(acts, "") in _LET


def beyond_records(clause: Clause) -> str:
    """The words by which a clause does more than keep records; "" when it keeps them plainly.

    Grammar, not subject: records are told in things and their relations ("by", "per", "with",
    "and"). A clause of its own with an act in it, or an exception, is more.
    """
    if _APART_FIRST.isdisjoint(clause.words) and _LEADING_ON.isdisjoint(clause.stems):
        return ""
    for index, word in enumerate(clause.words):
        following = clause.words[index + 1] if index + 1 < len(clause.words) else ""
        this = (
            word == "this"
            and clause.stems[index + 1 : index + 2] != ()
            and (clause.stems[index + 1] not in v.MEASURE)
        )
        if word in _APART or this or (word, following) in _APART_PAIRS:
            return f"{word} {following}".strip()
        if clause.stems[index] in _LEADING_ON:
            act = _act_after(clause, index)
            if act:
                return f"{word} ... {act}"
    return ""


def _act_after(clause: Clause, index: int) -> str:
    """The act in the clause that the word at ``index`` leads on to; "" when it is a plain one."""
    for at in range(index + 1, min(index + 1 + _REACH, len(clause.stems))):
        stem, spoken = clause.stems[at], clause.words[at]
        if stem in (",", ":") or stem in _BEING or spoken.endswith("ed") or stem in v.PAST:
            return ""
        if at > index + 1:
            if stem in v.ALL_ACTS and not _ends_noun(clause, at + 1):
                return "" if stem in _PLAIN else spoken
            continue
        third = spoken.endswith("s") and not spoken.endswith("ss") and stem not in v.FUNCTION
        noun = clause.words[index] == "which" and (
            _ends_noun(clause, at + 1) or bool(v.ALL_ACTS & set(clause.stems[at + 1 : at + 2]))
        )
        if third and not noun and stem not in v.GENERIC:  # "which says", but not "which parts are"
            return "" if stem in _PLAIN else spoken
    return ""


def _ends_noun(clause: Clause, at: int) -> bool:
    following = clause.stems[at : at + 1]
    return bool(following) and following[0] in (_BEING | {"of"})


def _verbs(clause: Clause) -> Iterator[str]:
    before = ""
    following = (*clause.stems[1:], "")
    for word, after, spoken in zip(clause.stems, following, clause.words, strict=True):
        objects, modal = after in v.DETERMINERS, before in _MODAL
        if (objects or modal) and word not in _NO_VERB and word.isalpha():
            led = not before or before in v.BEFORE_VERB
            bare = modal and word not in _HELPERS
            if bare or (led and objects and not spoken.endswith("ly")):
                yield word
        before = word


def readable(clause: Clause) -> bool:
    """Does a clause read as English that the rubric can place some words of?"""
    if not clause.text.isascii():
        letters = [c for c in clause.text if c.isalpha()]
        if letters and sum(c.isascii() for c in letters) < 0.8 * len(letters):
            return False
    foreign = _FOREIGN.intersection(clause.words)
    if foreign and len(foreign) > len(_ENGLISH.intersection(clause.stems)):
        return False
    if _ENGLISH.isdisjoint(clause.stems) and any(
        word.endswith(_FOREIGN_ENDINGS) for word in clause.words
    ):
        return False
    commas = clause.words.count(",")
    words = len(clause.words) - commas - clause.words.count(":")
    if words < SHORT or (commas >= LISTED and words <= 3 * (commas + 1)):
        return True  # a name, or a list of things: it has no verb to act with
    share = len([stem for stem in clause.stems if stem in v.KNOWN]) / words
    return share > 0 if words == SHORT else share >= 0.2
