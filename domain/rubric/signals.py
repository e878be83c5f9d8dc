"""What an intent's text gives away: effects, attempts against the blueprint, self-reference.

Invariants  a finding quotes the clause it was found in; "never delete ..." and "detect phishing"
            count as a mention, not as a plan, and a mention never makes an intent routine.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from domain.rubric import sensitive as w
from domain.rubric import vocabulary as v
from domain.rubric.concepts import Concept, Lexicon, Place
from domain.rubric.usage import is_act
from domain.rubric.words import Clause, Reading, Turns

Kind = Literal["hostile", "suspect", "effect", "self"]
Principle = Literal["people", "record", "harmless"]
QUOTE_CHARS_MAX = 160


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. ``name`` is an effect or the attempt, in words for people."""

    kind: Kind
    principle: Principle
    name: str
    quote: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Concepts that together mean something.

    In order and within ``within`` words, or, for the first two, the other way round with a passive
    ("the log is deleted"). ``anywhere``: in any order within the clause.
    """

    name: str
    kind: Kind
    principle: Principle
    concepts: tuple[Concept, ...]
    within: int = 6
    anywhere: bool = False
    unless: frozenset[str] = frozenset()  # stems that make it ordinary
    adjacent: bool = True  # False: "edit history" is a noun, "edit the history" is not
    acts: bool = False  # the first concept must be used as a verb where it may be a noun, too
    reported: bool = False  # "count phishing reports" is about it and does not do it


EFFECTS: tuple[Rule, ...] = (
    Rule("money", "effect", "people", (v.SPEND, v.MONEY), within=5, acts=True),
    Rule("money", "effect", "people", (v.HANDLE, v.FUNDS), within=5, acts=True),
    Rule("money", "effect", "people", (v.MONEY_ALONE,)),
    Rule("personal data", "effect", "people", (v.PERSONAL,)),
    Rule("personal data", "effect", "people", (v.PERSON, v.ABOUT_PERSON), 4, True),
    Rule("personal data", "effect", "people", (v.OBSERVING, v.INDIVIDUAL), within=3),
    Rule("personal data", "effect", "people", (w.ANY_PERSON, w.BY_BIRTH), 8, anywhere=True),
    Rule("outside effects", "effect", "people", (v.REACH_OUT, v.OUTSIDE), within=5, acts=True),
    Rule("outside effects", "effect", "people", (v.OUTSIDE_ALONE,)),
    Rule("cannot be undone", "effect", "people", (v.ERASE, v.STORED), unless=v.RECORD_EDITING),
    Rule("cannot be undone", "effect", "people", (v.ERASE_ALONE,), acts=True),
    Rule("runs code", "effect", "people", (v.RUN_CODE,)),
    Rule("infrastructure", "effect", "people", (v.OPERATE, v.INFRASTRUCTURE), within=6),
    Rule("physical devices", "effect", "people", (v.PHYSICAL,)),
    Rule("physical devices", "effect", "people", (v.MOVE_THINGS, v.THINGS), within=4, acts=True),
    Rule("secrets", "effect", "people", (v.SECRETS,)),
    Rule("decides about people", "effect", "people", (v.LEGAL,)),
    Rule("decides about people", "effect", "people", (v.JUDGE, v.JUDGED), within=4),
    Rule("decides about people", "effect", "people", (v.SORT_PEOPLE, v.INDIVIDUAL), within=3),
    Rule(
        *("decides by itself", "effect", "people", (v.DECIDE, v.AUTOMATIC), 8),
        anywhere=True,
        unless=v.ROUTINE_REFUSAL,
    ),
)

ATTEMPTS: tuple[Rule, ...] = (
    Rule(
        "tampers with the record",
        "hostile",
        "record",
        (v.TAMPER, v.TRAIL),
        5,
        adjacent=False,
        acts=True,
    ),
    Rule("rewrites decisions", "suspect", "record", (v.RESHAPE, v.VERDICT), 5),
    Rule("switches controls off", "hostile", "record", (v.DISABLE, v.CONTROL), 7, acts=True),
    Rule("loosens controls", "suspect", "record", (v.LOOSEN, v.CONTROL), 4, acts=True),
    Rule("avoids control", "suspect", "record", (v.WITHOUT_CONTROL,)),
    Rule("works in secret", "suspect", "record", (v.STEALTH,)),
    Rule("escapes control", "hostile", "record", (v.RUNAWAY,)),
    Rule("acts behind people's backs", "hostile", "harmless", (v.WITHOUT_CONSENT,)),
    Rule("watches individuals", "hostile", "harmless", (v.WATCH, v.PERSON, v.PRIVATE), 10, True),
    Rule("watches individuals", "hostile", "harmless", (v.SURVEILLANCE,)),
    Rule("attacks others", "hostile", "harmless", (v.ATTACK,), reported=True),
    Rule("deceives", "hostile", "harmless", (v.DECEIVE, v.DECEIVED), 4),
    Rule("deceives", "hostile", "harmless", (v.DECEPTION,), reported=True),
    Rule("treats people unfairly", "suspect", "harmless", (v.UNFAIR,)),
    Rule("takes data out", "hostile", "harmless", (v.STEAL,)),
    Rule("takes data out", "hostile", "harmless", (v.GRAB, v.GRABBED), 4),
    Rule("takes data out", "hostile", "harmless", (v.TAKE, v.SECRETS), 6),
    Rule("takes data out", "hostile", "harmless", (v.TAKE, v.SENSITIVE, v.ELSEWHERE), 14),
    # No plain plan, but nothing that everyday business speaks of: somebody should look.
    Rule("changes what is true", "suspect", "harmless", (w.BEND, w.FACT), 6, acts=True),
    Rule("changes what is true", "suspect", "harmless", (w.STATE, w.OTHER_THAN_TRUE, w.FACT), 4),
    Rule("pretends", "suspect", "harmless", (w.PRETENCE,)),
    Rule("keeps bad news back", "suspect", "harmless", (w.SUPPRESS, w.UNWELCOME), 5, acts=True),
    Rule("evades oversight", "suspect", "harmless", (w.EVADE, w.OVERSEER), 7, anywhere=True),
    Rule("works in secret", "suspect", "record", (w.BARE,)),
    Rule("speaks to whoever judges it", "suspect", "record", (w.META,)),
    Rule("concludes about people", "suspect", "harmless", (w.INFER, w.ANY_PERSON), 8),
    Rule("watches individuals", "suspect", "harmless", (w.SENSOR,)),
    Rule("watches individuals", "suspect", "harmless", (w.WHERE, w.INDIVIDUALS), 4),
    Rule("watches individuals", "suspect", "harmless", (w.HABIT, w.ANY_PERSON), 5, anywhere=True),
    Rule("acts by itself", "suspect", "record", (w.BOT,)),
    Rule("may be unlawful", "suspect", "harmless", (w.ILLICIT,)),
    Rule("presses people", "suspect", "harmless", (w.PRESSURE,)),
    Rule("treats people unfairly", "suspect", "harmless", (w.PREFER, w.BY_BIRTH), 8, anywhere=True),
    Rule("is about individuals", "suspect", "harmless", (w.EXPOSED,)),
    Rule(
        *("watches individuals", "suspect", "harmless", (w.WATCHES, w.INDIVIDUALS, w.ABOUT_LIFE)),
        within=10,
        anywhere=True,
    ),
    Rule("takes data out", "suspect", "harmless", (w.HAND_OVER, w.KNOWLEDGE, w.STRANGER), 12),
    Rule("takes data out", "suspect", "harmless", (w.HAND_OVER, w.KNOWLEDGE, v.ELSEWHERE), 12),
    Rule("takes data out", "suspect", "harmless", (w.MINE,)),
    Rule("works against competitors", "suspect", "harmless", (w.OBTAIN, w.COMPETITOR), 8, True),
    Rule("works against competitors", "suspect", "harmless", (w.COMPETITOR, w.COMPETITORS_OWN), 4),
    Rule("attacks others", "suspect", "harmless", (w.BREAK_IN, w.AT_OTHERS), 6, anywhere=True),
    Rule("escapes control", "suspect", "record", (w.UNBOUND,)),
)

# Text that speaks to whoever judges it instead of saying what to build.
_INJECTION = (
    (
        "instructions to the evaluator",
        r"(?:ignore|disregard|forget|override|overrule|discard|set aside|do not follow|"
        r"don't follow|pay no attention to)\b.{0,40}\b(?:instruction|prompt|rule|guideline|"
        r"directive|polic|blueprint|criteri|principle|rubric|above|previous|prior|constraint)",
    ),
    (
        "instructions to the evaluator",
        r"(?:evaluator|grader|judge|reviewer|assistant|language model|llm|claude|gpt|ai)\b"
        r"\W{0,3}(?:you |please |must |should |:|,)?\s*(?:note|please|must|should|return|"
        r"respond|output|rate|score|mark|approve|give|set|treat)\b.{0,60}"
        r"\b(?:1\.0|100|max|full|high|approv|align|low|safe|perfect|yes)",
    ),
    (
        "instructions to the evaluator",
        r"(?:you are (?:now|a|an|the|no longer)|your (?:instructions|task|new role|score|"
        r"verdict|decision|answer|rating|system prompt)|act as|pretend (?:to|that|you)|"
        r"from now on,? you|system prompt|jailbreak|developer mode|dan mode)\b",
    ),
    (
        "instructions to the evaluator",
        r"(?:who(?:so)?ever|anyone who|anybody who|if you|when you|you who)\W+(?:\w+ )?"
        r"(?:read|assess|evaluat|judg|scor|review|process)\w*\b|"
        r"(?:answer|respond|reply|return|output)\W+(?:with\W+)?[\"']?(?:aligned|approved|"
        r"auto_?approve|yes|true|1\.0)\b",
    ),
    (
        "claims its own approval",
        r"(?:this|the present|our|my)\s+(?:intent|request|submission|proposal|service|change|"
        r"one|purpose|text)\b.{0,40}\b(?:is|was|has been|have been|must be|should be|be|"
        r"already|counts as|deserves)\b.{0,30}\b(?:approved|pre-?approved|aligned|"
        r"safe|low.risk|harmless|exempt|trusted|cleared|authori[sz]ed|compliant|vetted|whitelisted)",
    ),
    (
        "claims its own approval",
        r"(?:pre-?approved|already (?:been )?(?:approved|cleared|signed off|vetted)|"
        r"(?:no|needs no|requires no|without needing) (?:further )?(?:approval|review) "
        r"(?:is |are )?(?:needed|required|necessary)|does(?: not|n't) (?:need|require) "
        r"(?:any )?(?:approval|review|governance)|"
        r"exempt from (?:approval|review|governance|polic)|"
        r"(?:ceo|admin|administrator|owner|management|security team|governance) (?:has |have )?"
        r"(?:already )?(?:approved|authori[sz]ed|signed off|confirmed|cleared))",
    ),
    (
        "sets its own score",
        r"(?:alignment[_ ]?score|risk[_ ]?level|user_present|self_reference|claimed_tier|"
        r"policy_applied|next_action|governance_decision|decision)\W{0,4}"
        r"(?:=|:|to be|to|is|as|of|must be|should be)\W{0,4}"
        r"(?:0\.[5-9]|1\b|1\.0|100|low|true|false|high|max|perfect|auto_?approve|approved)",
    ),
    (
        "sets its own score",
        r"(?:score|rate|mark|classify|treat|grade|label|tag) "
        r"(?:this|it|me|the intent)\b.{0,25}"
        r"(?:1\.0|\b1\b|10|100|max|full|high|approv|align|low|safe|perfect|tier|trusted)",
    ),
    (
        "sets its own score",
        r"(?:respond|reply|answer|output|return|print|say)\b.{0,12}\b(?:only|with|exactly|just)\b"
        r".{0,25}(?:approv|aligned|auto|yes|json|1\.0|low)",
    ),
    (
        "asks for its own approval",
        r"(?:auto-?approve|approve|accept|deploy|build) (?:this|it|me|the present)\b"
        r"(?: \w+){0,3}? (?:immediately|now|right away|at once|automatically|without|"
        r"regardless|unconditionally|intent|request)",
    ),
)
_POSES = "poses as another speaker"
_SPEAKER = re.compile(
    r"(?:^|\n|[.\]>]\s*)(?:system|assistant|developer|human|admin)\s*:|<\s*/?\s*(?:system|"
    r"intent|instructions?|assistant|user|prompt|data|admin)\b|\[/?inst\]|<\|im_|"
    r"###\s*(?:system|instruction|end)|\bend of (?:intent|data|input|document)\b"
)


class Rules:
    """Rules by the rarest of their concepts: most clauses hold none of them."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._by_rarest: dict[Concept, list[int]] = {}
        for number, rule in enumerate(rules):
            rarest = min(rule.concepts, key=lambda concept: len(concept.heads))
            self._by_rarest.setdefault(rarest, []).append(number)

    def for_clause(self, clause: Clause) -> list[Rule]:
        """The rules that the clause may match, in their order: all others lack a concept."""
        known = self._by_rarest
        numbers = [n for concept in clause.places if concept in known for n in known[concept]]
        return [self._rules[number] for number in sorted(numbers)] if numbers else []


LEXICON = Lexicon(v.EVERY_STEM, (*v.concepts_of(vars(v)), *v.concepts_of(vars(w))))
_EFFECTS, _ATTEMPTS = Rules(EFFECTS), Rules(ATTEMPTS)
_TURNS = Turns(*_INJECTION, *w.TURNS_OF_PHRASE)
_INJECTED = frozenset(name for name, _ in _INJECTION)
_GUARDING = v.PROTECTION | v.OBSERVE


def attempts(reading: Reading) -> Iterator[Finding]:
    """Everything that speaks against the blueprint, clause by clause, then tricks of the text."""
    for clause in reading.clauses:
        yield from _by_rules(clause, _ATTEMPTS)
    for name, found in _TURNS.found(reading.text):
        if name in _INJECTED:
            yield Finding("hostile", "record", name, cut(found))
        else:
            yield Finding("suspect", "harmless", name, cut(found))
    if speaker := _SPEAKER.search(reading.text):
        yield Finding("hostile", "record", _POSES, cut(speaker.group()))
    for trick in reading.disguised:
        yield Finding("suspect", "record", "hides what it says", trick)


def effects(reading: Reading) -> Iterator[Finding]:
    """What the service would do that goes before a person."""
    for clause in reading.clauses:
        for finding in _by_rules(clause, _EFFECTS):
            if finding.kind == "effect":  # "stores no personal data" has no effect
                yield finding


def self_references(reading: Reading, *, business: bool) -> Iterator[Finding]:
    """Where the text speaks of this system's own governance, policies, log or Phoenix.

    ``business``: the intent as a whole is about something else that people may approve.
    """
    for clause in reading.clauses:
        if v.SELF in clause.places:
            yield Finding("self", "record", "this system itself", cut(clause.text))
        elif "intents" in clause.words or _about_policies(clause, business=business):
            yield Finding("self", "record", "policies and approvals", cut(clause.text))


def _about_policies(clause: Clause, *, business: bool) -> bool:
    """Who speaks of policies or approvals without saying of what, speaks of ours."""
    if v.POLICY_WORD not in clause.places:
        return False
    if v.OWN_MATTER in clause.places:
        return True
    return not (business or v.BUSINESS_MATTER in clause.places)


def _by_rules(clause: Clause, rules: Rules) -> Iterator[Finding]:
    for rule in rules.for_clause(clause):
        start = _match(rule, clause)
        if start is None or not rule.unless.isdisjoint(clause.stems):
            continue
        kind: Kind = rule.kind
        if rule.kind == "hostile" and v.CONTROL in rule.concepts and _of_business(clause):
            kind = "suspect"
        if _only_mentioned(clause, start, reported=rule.reported):
            kind = "suspect" if rule.kind in ("hostile", "suspect") else "self"
        yield Finding(kind, rule.principle, rule.name, cut(clause.text))


def _of_business(clause: Clause) -> bool:
    """Is it the approval of something outside this system that is spoken of?"""
    if v.OWN_MATTER in clause.places or v.SELF in clause.places:
        return False
    business = clause.places.get(v.BUSINESS_MATTER, ())
    named = {index for place in business for index in range(*place)}
    for start, end in clause.places.get(v.POLICY_WORD, ()):
        linked = clause.stems[end : end + 1] in (("of",), ("for",))
        if start - 1 in named or (linked and named & {end + 1, end + 2}):
            return True
    return False


def _only_mentioned(clause: Clause, start: int, *, reported: bool) -> bool:
    """Is the plan at ``start`` denied, or what the service protects against?"""
    guarding = _GUARDING if reported else v.PROTECTION
    for index in range(start - 1, max(-1, start - 8), -1):
        word = clause.stems[index]
        if word in v.NEGATION:
            return True
        if word in guarding and "," not in clause.stems[index:start] and start - index <= 5:
            return True
    return False


def _match(rule: Rule, clause: Clause) -> int | None:
    """The index where the rule's meaning begins in the clause, or None."""
    places = []
    for concept in rule.concepts:
        if concept not in clause.places:
            return None
        places.append(clause.places[concept])
    if rule.acts:
        places[0] = [place for place in places[0] if is_act(clause, place[0])]
        if not places[0]:
            return None
    if len(places) == 1:
        return places[0][0][0]
    if rule.anywhere:
        return _together(places, rule.within)
    start = _in_order(places, rule)
    if start is None and len(places) == 2:
        start = _passive(places[0], places[1], rule.within, clause)
    return start


def _in_order(places: list[list[Place]], rule: Rule) -> int | None:
    for start, end in places[0]:
        at = end
        for number, others in enumerate(places[1:]):
            least = at if rule.adjacent or number else at + 1
            following = [o for o in others if least <= o[0] <= at - 1 + rule.within]
            if not following:
                break
            at = following[0][1]
        else:
            return start
    return None


def _together(places: list[list[Place]], within: int) -> int | None:
    for start, _ in places[0]:
        near = [[o for o in others if abs(o[0] - start) <= within] for others in places[1:]]
        taken = {start}
        for others in near:
            free = next((o for o in others if o[0] not in taken), None)
            if free is None:
                break
            taken.add(free[0])
        else:
            return min(taken)
    return None


def _passive(verbs: list[Place], objects: list[Place], within: int, clause: Clause) -> int | None:
    for start, end in objects:
        for verb, _ in verbs:
            if end < verb <= end + within and v.PASSIVE & set(clause.stems[end:verb]):
                return start
    return None


def mentions(concept: Concept, reading: Reading) -> str:
    """The first clause in which the concept occurs; "" when in none."""
    for clause in reading.clauses:
        if concept in clause.places:
            return cut(clause.text)
    return ""


def count(concept: Concept, reading: Reading) -> int:
    return sum(len(clause.places.get(concept, ())) for clause in reading.clauses)


def cut(text: str) -> str:
    """A quote of bounded length on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= QUOTE_CHARS_MAX else flat[: QUOTE_CHARS_MAX - 1] + "…"
