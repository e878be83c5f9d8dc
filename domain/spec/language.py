"""What a line of plain English names: records, fields, groups, reports and workflow commands.

The rules, in the order they are tried on each clause (words in ``domain.spec.lexicon``):

1. a store verb and its objects: "track revenues and costs", or "<noun> tracking": records;
2. a workflow verb and its objects: "approve expenses", or "expense approval": records with states;
3. "with a, b and c" (also "including", "having", a colon): fields of the record before it;
4. "by x and y", "per x", "for each x": groups, which are fields too (a time word: a date);
5. a report noun or verb, a time adjective, or a group without a look-up verb: a report.

What no rule names is not guessed.
"""

import re
from dataclasses import dataclass, field

from domain.spec import lexicon, words
from domain.spec.check import RESERVED_PATHS, RESERVED_RECORDS

_TOKEN = re.compile(r"[a-z][a-z0-9'-]*|[,():/&]")
_CLAUSE = re.compile(r"[.;\n!?]+(?:\s|$)|\s[-–—]\s")  # noqa: RUF001
_FORMS = {"s": "", "es": "", "ed": "", "ing": ""}
_FIELDS_AFTER = frozenset(("with", "including", "having", "containing", ":"))
_COUNTED_BY_OF = lexicon.GENERIC | frozenset(("list", "number", "sum", "count", "average"))
_MARK = re.compile(r"\bmark(?:s|ing)?\s+([a-z -]+?)\s+as\s+([a-z]+)")
_GROUPS_AFTER = frozenset(("by", "per", "across"))


@dataclass(frozen=True, slots=True)
class NamedField:
    name: str
    optional: bool = False
    unique: bool = False
    values: tuple[str, ...] = ()


@dataclass(slots=True)
class Clause:
    """What one clause names; ``nouns`` are all its noun phrases as identifiers."""

    text: str
    records: list[str] = field(default_factory=list)
    fields: list[NamedField] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    commands_of: dict[str, list[str]] = field(default_factory=dict)  # by record
    stored: list[str] = field(default_factory=list)  # records that are the object of a store verb
    nouns: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    measure: str = ""
    report: bool = False
    looks_up: bool = False
    scenario: bool = False  # asks for what every generated service offers (history, search, ...)


def clauses(text: str) -> list[Clause]:
    """What each clause of a text names, in order."""
    return [_clause(part.strip()) for part in _CLAUSE.split(text) if part.strip()]


def lemma(word: str, verbs: frozenset[str]) -> str:
    """The verb of this list that a word is a form of; "" when none."""
    if word in verbs:
        return word
    for ending in ("s", "es", "ed", "ing"):
        stem = word.removesuffix(ending)
        if stem == word:
            continue
        for candidate in (stem, stem + "e", stem[:-1]):
            if candidate in verbs and not (candidate == stem[:-1] and stem[-1:] != stem[-2:-1]):
                return candidate
    return ""


def noun(phrase: list[str]) -> str:
    """The record a noun phrase names (singular, snake_case); "" when it names nothing storable."""
    small = lexicon.SMALL | frozenset(lexicon.MEASURES)
    kept = [word for word in phrase if word not in small and "'" not in word]
    while len(kept) > 1 and kept[-1] in lexicon.GENERIC:
        kept.pop()
    if kept and kept[-1] in lexicon.ABSTRACT and phrase[-1] in lexicon.ENTRIES:
        kept.append(phrase[-1])  # "time entries": the general noun is what is kept
    if not kept or kept[-1] in lexicon.ABSTRACT - lexicon.ENTRIES or len(kept) > 4:
        return ""
    name = words.singular(words.identifier("_".join(kept[-2:])))
    return unreserved(name) if name not in lexicon.ENTRIES and _is_thing(kept[-1]) else ""


def _is_thing(word: str) -> bool:
    """Whether the last word of a phrase can name something to keep: no adjective, no adverb."""
    one = words.singular(word)
    if word in lexicon.NOT_THINGS or len(one) < 2:
        return False
    if word.endswith("ing"):
        return word in lexicon.THINGS_IN_ING
    return one in lexicon.DESCRIBING_BUT_THINGS or not word.endswith(lexicon.DESCRIBING_ENDS)


def unreserved(name: str) -> str:
    """A record's name that a service can use: ``event`` -> ``event_entry`` (/events is taken)."""
    taken = name in RESERVED_RECORDS or words.plural(name) in RESERVED_PATHS
    return f"{name}_entry" if taken or words.is_keyword(name) else name


def _clause(text: str) -> Clause:
    found = Clause(text)
    tokens = _TOKEN.findall(_MARK.sub(lambda match: _marked(found, match), text.lower()))
    _signals(found, tokens)
    start = 0
    while start < len(tokens):
        start = _part(found, tokens, start)
    found.records = list(dict.fromkeys(found.records))
    found.groups = list(dict.fromkeys(found.groups))
    return found


def _marked(found: Clause, match: re.Match[str]) -> str:
    """ "mark tasks as done": the command ``mark_done``, and the tasks are kept."""
    name = noun(match[1].split())
    if name:
        found.records.append(name)
        found.nouns.append(name)
        found.commands.append(f"mark_{match[2]}")
        found.commands_of.setdefault(name, []).append(f"mark_{match[2]}")
    return " "


def _signals(found: Clause, tokens: list[str]) -> None:
    found.times = [lexicon.TIMES[word] for word in tokens if _is_time_adjective(word)]
    found.measure = next((lexicon.MEASURES[w] for w in tokens if w in lexicon.MEASURES), "")
    found.looks_up = any(lemma(word, lexicon.LOOK_VERBS) for word in tokens[:1])
    found.scenario = any(word in lexicon.SCENARIO_NOUNS for word in tokens)
    found.report = any(
        word in lexicon.REPORT_NOUNS or lemma(word, lexicon.REPORT_VERBS) for word in tokens
    ) or bool(found.times)


def _is_time_adjective(word: str) -> bool:
    return word in lexicon.TIMES and (word.endswith("ly") or word == "annual")


def _part(found: Clause, tokens: list[str], start: int) -> int:
    """Read what starts at this token; return where the next part starts."""
    word = tokens[start]
    if word in _FIELDS_AFTER and found.records:
        return _fields(found, tokens, start + 1)
    if word in _GROUPS_AFTER or tokens[start : start + 2] == ["for", "each"]:
        return _groups(found, tokens, start + 1)
    if word in lexicon.STOPS or not word[0].isalpha():
        return start + 1
    return _phrases(found, tokens, start)


def _phrases(found: Clause, tokens: list[str], start: int) -> int:
    """Verbs and the noun phrases around them, up to a preposition."""
    phrases, end = _coordinated(tokens, start)
    stores, commands, complete = False, list[str](), False
    for phrase in phrases:
        verbs, rest = _leading_verbs(_without_subject(phrase))
        if verbs and complete:
            stores, commands = False, []  # the verbs before have got their objects
        stores = stores or any(kind == "store" for kind, _ in verbs)
        commands += [verb for kind, verb in verbs if kind == "work"]
        complete = bool(rest)
        _take(found, rest, stores, commands)
    return end


def _without_subject(phrase: list[str]) -> list[str]:
    """ "customers create tickets": what somebody does, without who does it."""
    for at in range(1, len(phrase)):
        before = phrase[at - 1]
        plain = phrase[at] in lexicon.STORE_VERBS or phrase[at] in lexicon.WORKFLOW
        if plain and words.singular(before) != before:
            return phrase[at:]
    return phrase


def _take(found: Clause, phrase: list[str], stores: bool, commands: list[str]) -> None:
    by_verb = stores
    if phrase and phrase[-1] in lexicon.STORE_NOUNS:
        phrase, stores = phrase[:-1], True
    elif phrase and phrase[-1] in ("workflow", "process") and len(phrase) > 1:
        phrase = phrase[:-1]
    if phrase and phrase[-1] in lexicon.WORKFLOW_NOUNS:
        commands = [*commands, *lexicon.WORKFLOW_NOUNS[phrase[-1]]]
        phrase, stores = phrase[:-1], True
    found.commands += [verb for verb in commands if verb not in found.commands]
    name = noun(phrase)
    if not name:
        return
    found.nouns.append(name)
    if stores or commands:
        found.records.append(name)
        found.stored += [name] if by_verb else []
        found.commands_of.setdefault(name, []).extend(commands)


def _leading_verbs(phrase: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The verbs a phrase starts with, each with its kind, and what is left of the phrase."""
    verbs: list[tuple[str, str]] = []
    rest = list(phrase)
    while rest:
        kind, verb = _verb(rest[0])
        if not kind or (len(rest) == 1 and rest[0].endswith("s")):
            break
        verbs.append((kind, verb))
        rest.pop(0)
        while rest and rest[0] in lexicon.SMALL:
            rest.pop(0)
    return verbs, rest


def _verb(word: str) -> tuple[str, str]:
    for kind, known in (
        ("store", lexicon.STORE_VERBS),
        ("work", frozenset(lexicon.WORKFLOW)),
        ("look", lexicon.LOOK_VERBS),
        ("report", lexicon.REPORT_VERBS),
        ("other", lexicon.CHANGE_VERBS | lexicon.FILLER_VERBS),
    ):
        verb = lemma(word, known)
        if verb and word not in lexicon.STORE_NOUNS - {"tracking"}:
            return kind, verb
    return "", ""


def _coordinated(tokens: list[str], start: int) -> tuple[list[list[str]], int]:
    """The phrases of "a, b and c" from here on, and where they end."""
    phrases: list[list[str]] = [[]]
    end = start
    while end < len(tokens):
        word = tokens[end]
        if word in (",", "and", "or", "/", "&"):
            phrases.append([])
        elif word == "of" and phrases[-1] and phrases[-1][-1] in _COUNTED_BY_OF:
            phrases[-1].pop()  # "a log of readings", "the number of tickets"
        elif word in lexicon.STOPS or word in (":", "(", ")"):
            break
        else:
            phrases[-1].append(word)
        end += 1
    return [phrase for phrase in phrases if phrase], max(end, start + 1)


def _fields(found: Clause, tokens: list[str], start: int) -> int:
    while True:
        phrases, end = _coordinated(tokens, start)
        for phrase in phrases:
            name = words.identifier("_".join(w for w in phrase if w not in lexicon.SMALL))
            if name:
                found.fields.append(NamedField(name, "optional" in phrase, "unique" in phrase))
        if end >= len(tokens) or tokens[end] != "(" or not found.fields:
            return end
        values, start = _coordinated(tokens, end + 1)
        last = found.fields.pop()
        listed = tuple("_".join(value) for value in values)
        found.fields.append(NamedField(last.name, last.optional, last.unique, listed))
        start += 1
        if start >= len(tokens) or tokens[start] not in (",", "and"):
            return start


def _groups(found: Clause, tokens: list[str], start: int) -> int:
    phrases, end = _coordinated(tokens, start)
    for phrase in phrases:
        kept = [word for word in phrase if word not in lexicon.SMALL and word not in ("each",)]
        if not kept or (_verb(kept[0])[0] and len(kept) > 1):
            continue  # "by month and report ...": a new verb, not a group
        if tokens[start - 1] == "across" and kept[-1] in lexicon.ABSTRACT:
            continue
        if kept[-1] in lexicon.TIMES:
            found.times.append(lexicon.TIMES[kept[-1]])
        else:
            found.groups.append(words.singular(words.identifier("_".join(kept))))
    return end
