"""Requirements in EARS form ("When <trigger>, the <system> shall <response>"), and text smells."""

import re

from domain.spec import language, lexicon
from domain.spec.words import bag

WEAK = bag("""
    may might could possibly probably maybe perhaps approximately about roughly etc various several
    some many few often usually normally generally sometimes adequate appropriate suitable
    reasonable sufficient good nice easy easily simple simply fast quick quickly efficient
    efficiently flexible robust scalable user-friendly intuitive seamless seamlessly modern
    powerful smart intelligent advanced state-of-the-art better best improved optimal optimally
    minimal relevant necessary tbd somehow
""")
QUALITY = bag("""
    fast quick quickly scalable reliable secure available responsive performant efficient robust
    real-time realtime high-performance low-latency resilient
""")
_NUMBER = re.compile(r"\d")
_WORD = re.compile(r"[a-z][a-z'-]*[a-z]|[a-z]")
_FORMS = (
    re.compile(r"^the [\w -]+ shall (?:not )?\w+", re.I),
    re.compile(r"^(?:when|while|if|where) .+, (?:then )?the [\w -]+ shall (?:not )?\w+", re.I),
)
_JOINING = bag("and or not no it its he she they we you i do does did be been being then than")
_VERBS = lexicon.STORE_VERBS | lexicon.LOOK_VERBS | lexicon.REPORT_VERBS | lexicon.CHANGE_VERBS
_VERBS |= lexicon.FILLER_VERBS | frozenset((*lexicon.WORKFLOW, "mark"))


def is_ears(sentence: str) -> bool:
    return any(form.match(sentence.strip()) for form in _FORMS)


def as_ears(feature: str, service: str) -> str:
    """A feature as a requirement; unchanged when it already is one."""
    text = feature.strip().rstrip(".")
    if is_ears(text):
        return f"{text}."
    first, _, rest = text.partition(" ")
    verb = language.lemma(first.lower().rstrip(","), _VERBS)
    if verb and rest and not first.lower().endswith("ing"):
        return f"The {service} service shall {verb}{',' * first.endswith(',')} {rest}."
    start = text if text[:2].isupper() else text[:1].lower() + text[1:]
    return f"The {service} service shall provide {start}."


def meaningful(text: str) -> frozenset[str]:
    """The different words of a text that carry meaning."""
    return frozenset(_WORD.findall(text.lower())) - lexicon.STOPS - lexicon.SMALL - _JOINING - WEAK


def weak_words(text: str) -> tuple[str, ...]:
    """Words that two readers may take differently, in order, each once."""
    return tuple(dict.fromkeys(word for word in _WORD.findall(text.lower()) if word in WEAK))


def unmeasured(text: str) -> tuple[str, ...]:
    """Quality words in a text without a number that could be measured."""
    if _NUMBER.search(text):
        return ()
    return tuple(dict.fromkeys(word for word in _WORD.findall(text.lower()) if word in QUALITY))
