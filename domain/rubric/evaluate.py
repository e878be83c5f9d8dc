"""Criteria, weights and risk: from what was found to an assessment that explains itself.

Invariants  the points of all evidence add up to the score before clamping; only a conflict with the
            blueprint takes an intent below the line where it is blocked; what is not understood is
            never routine; the tier is the more careful of what is claimed and what is found.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from domain.dependents import NOBODY
from domain.governance_events import Assessment, BlastRadius, Evidence, RiskLevel
from domain.intent import DEFAULT_TIER, TIER_BY_TYPE, Intent
from domain.rubric import vocabulary as v
from domain.rubric.blueprint import Blueprint
from domain.rubric.demands import demands
from domain.rubric.manner import unlike_records
from domain.rubric.signals import (
    LEXICON,
    Finding,
    attempts,
    count,
    effects,
    mentions,
    self_references,
)
from domain.rubric.structure import Touched, structure, touched
from domain.rubric.usage import beyond_records, foreign_main, readable, unknown_act
from domain.rubric.words import Clause, Reading, read
from domain.view import made

RUBRIC_VERSION = "5"
# What these said can still be repeated: 4 did not read what lists demand; 3 neither, nobody looked
# up who needs the service, and a field that says "personal" was not heard.
VERSIONS = frozenset(("3", "4", RUBRIC_VERSION))

# Points out of 1.00. They add up to 1.00 for a perfect intent.
FIT = 0.31  # principle 2: the purpose is useful to somebody
FIT_USEFUL = 0.30  # useful work, but none of the benefits that the blueprint names
FIT_UNKNOWN = 0.24  # nothing routine recognised; nothing against it either
FIT_POINTLESS = 0.05
GROUNDWORK = 0.045  # principle 1: shared groundwork that makes the whole safer or faster
SUBJECT = 0.08  # principle 3: what it is about
ACTION = 0.06  # ... what it does
MEASURE = 0.04  # ... what comes out and can be measured
DETAIL = 0.01  # ... features or records
SCENARIOS = 0.01  # ... acceptance scenarios
PEOPLE = 0.16  # principle 4: nothing in it needs a person first
RECORD = 0.12  # principle 5: stays on the record and under control
HARMLESS = 0.12  # principle 6: lawful, private, harmless
SMALL = 0.03  # principle 7: one purpose, few dependencies
RESERVE = 0.015  # nobody gets this: before its SPEC no intent is certain

HOSTILE = -0.40  # beyond the criterion itself: a plan against the blueprint
SUSPECT = -0.10  # beyond the criterion itself: close to one, or only mentioned
VAGUE = -0.06  # each, at most twice
VAGUE_SHARE = 4  # so many words of subject outweigh a vague one
UNREADABLE = -0.16  # a sentence that could not be read, or whose use is not recognised
ALIGNED = 0.70  # below it an intent is misaligned, and blocked by the shipped policies
FLOOR = 0.71  # without a conflict no intent scores less

THINGS = 3  # so many an intent must name, or one fewer beside a verb that says what is done
CLEAR_STEMS = 3  # distinct words that say what it is about
DEPENDENCIES_MANY = 8
FEATURES_MANY = 25

# Risk points: what each finding adds, and from how many on a level begins.
RISK_POINTS: Mapping[str, int] = {
    "tier 0": 1,
    "this system itself": 1,
    "built-in dependency": 1,
    "many dependencies": 2,
    "holds data for others": 1,
    "needs it": 2,
    "needs those": 1,
    "effect": 4,
    "claimed tier too low": 4,
    "unclear": 1,
    "retire": 4,
    "suspect": 4,
    "hostile": 9,
}
RADIUS_MAX = 9  # the whole blast radius adds no more than this
NAMED_MAX = 10  # so many services are named in a line of evidence
RISK_LEVELS: tuple[tuple[int, RiskLevel], ...] = (
    (13, "critical"),
    (9, "high"),
    (4, "medium"),
    (0, "low"),
)
BUILT_IN = frozenset(
    (
        "registry",
        "intent-queue",
        "sovereign-factory",
        "governance",
        "build-executor",
        "approval-dashboard",
    )
)


@dataclass(slots=True)
class _Sheet:
    """The evidence as it is written down."""

    blueprint: Blueprint
    lines: list[Evidence] = field(default_factory=list)
    recommendations: dict[str, None] = field(default_factory=dict)

    def add(
        self, criterion: str, points: float, *, topic: str = "", quote: str = "", note: str = ""
    ) -> None:
        reference = self.blueprint.closest(topic) if topic else ""
        write = _line if quote else _known_line
        self.lines.append(write(criterion, points, reference, note, quote))

    def advise(self, text: str) -> None:
        self.recommendations[text] = None

    @property
    def total(self) -> float:
        return round(sum([line.points for line in self.lines]), 4)


def _line(criterion: str, points: float, reference: str, note: str, quote: str) -> Evidence:
    line = {
        "criterion": criterion,
        "points": round(points, 4),
        "quote": quote,
        "reference": reference,
        "note": note,
    }
    return made(Evidence, line)


_known_line = lru_cache(maxsize=1000)(_line)  # without a quote most lines come again


@dataclass(frozen=True, slots=True)
class _Facts:
    """What was found in an intent, before anything is weighed."""

    stated: Reading  # purpose and features: what counts for an intent
    whole: Reading  # everything it says anywhere: what counts against it
    attempts: tuple[Finding, ...]
    effects: tuple[Finding, ...]
    self_references: tuple[Finding, ...]
    subject: int  # how many words say what it is about
    pointless: str  # the clause that says that no use is intended; "" when none does
    unread: tuple[str, str]  # a sentence that a person has to read, and why; both "" without one
    shape: str  # the clause that records, counts or shows something; "" when none does
    radius: BlastRadius | None


def evaluate(
    intent: Intent,
    blueprint: Blueprint,
    radius: BlastRadius | None = NOBODY,
    *,
    version: str = RUBRIC_VERSION,
) -> Assessment:
    """Assess one intent against the blueprint; the same input always gives the same answer.

    ``radius``: who needs the service of this name as it runs now; None where nobody looked
    (version 3). ``version``: one of ``VERSIONS``.
    """
    facts = _facts(intent, blueprint, radius, version)
    sheet = _Sheet(blueprint)
    _fit(sheet, facts)
    _groundwork(sheet, facts, intent)
    _clarity(sheet, facts, intent)
    _people(sheet, facts, intent)
    _record(sheet, facts)
    _harmless(sheet, facts)
    _small(sheet, facts, intent)
    _reach(sheet, facts)
    sheet.add("reserve", 0.0, note=f"{RESERVE} kept back: before its SPEC no intent is certain")
    _floor(sheet, facts)
    return _assessment(intent, facts, sheet, version)


# --- finding ------------------------------------------------------------------------------------


def _facts(
    intent: Intent, blueprint: Blueprint, radius: BlastRadius | None, version: str
) -> _Facts:
    purpose = read((intent.purpose,), LEXICON)
    stated = _with(purpose, intent.key_features)
    spec, meta = structure(intent.spec), structure(intent.metadata)
    held = touched(intent.spec, declared=version != "3")
    context = _with(stated, (intent.blueprint_context,))
    parts = {text: read((text,), LEXICON) for text in spec.texts}  # many of its names come again
    told = _joined(context, *(parts[text] for text in spec.prose))
    built = _joined(context, *(parts[text] for text in spec.texts))
    whole = _with(built, meta.texts)
    business = bool(mentions(v.BUSINESS_MATTER, stated))
    own = tuple(self_references(built, business=business))
    named = [_named_in(clause) for clause in stated.clauses]
    groundwork = bool(own) or intent.service_type in TIER_BY_TYPE or intent.kind == "component"
    listed = () if version in ("3", "4") else demands(whole)
    return _Facts(
        stated=stated,
        whole=whole,
        attempts=(*attempts(whole), *listed, *_ruled_out(whole, blueprint)),
        effects=tuple(_once((*_declared(intent, held), *effects(told)))),
        self_references=own,
        subject=len(set().union(*named)),
        pointless=mentions(v.POINTLESS, stated),
        unread=_unread(stated, len(purpose.clauses), groundwork=groundwork),
        shape=_shape(stated, named, groundwork=groundwork),
        radius=radius,
    )


def _declared(intent: Intent, held: Iterable[Touched]) -> Iterable[Finding]:
    """Effects that the intent's type has, and the data that its records hold."""
    if intent.service_type == "api_gateway":
        yield Finding("effect", "people", "outside effects", "service_type: api_gateway")
    if intent.metadata.get("custom"):
        yield Finding("effect", "people", "runs code that a model writes", "metadata.custom")
    for data in held:
        yield Finding("effect", "people", data.name, data.where)


def _with(reading: Reading, texts: Iterable[str]) -> Reading:
    more = [text for text in texts if text]
    return _joined(reading, read(more, LEXICON)) if more else reading


def _joined(first: Reading, *others: Reading) -> Reading:
    if not others:
        return first
    readings = (first, *others)
    return Reading(
        tuple(chain.from_iterable([reading.clauses for reading in readings])),
        "\n".join([reading.text for reading in readings]),
        tuple(dict.fromkeys(chain.from_iterable([reading.disguised for reading in readings]))),
    )


def _ruled_out(reading: Reading, blueprint: Blueprint) -> Iterable[Finding]:
    """Words that this very blueprint says "no" to, whatever it is about."""
    for clause in reading.clauses:
        if not blueprint.ruled_out.keys().isdisjoint(clause.stems):
            yield Finding("suspect", "harmless", "ruled out by the blueprint", _quote(clause))


def _once(findings: Iterable[Finding]) -> Iterable[Finding]:
    seen: set[str] = set()
    for finding in findings:
        if finding.name not in seen:
            seen.add(finding.name)
            yield finding


def _unread(stated: Reading, sentences: int, *, groundwork: bool) -> tuple[str, str]:
    """The first sentence that a person has to read, and why; both "" when there is none.

    ``sentences``: how many of the clauses are of the purpose. Groundwork acts by nature.
    """
    for number, clause in enumerate(stated.clauses):
        if not readable(clause):
            return _quote(clause), "this part was not understood"
        if groundwork:
            continue
        purpose = number < sentences
        strange = unknown_act(clause) or (purpose and foreign_main(clause))
        if strange:
            return _quote(clause), f"what this part is for was not recognised ({strange})"
        more = beyond_records(clause)
        if more:
            return _quote(clause), f"does more than keep records ({more})"
        heavy = unlike_records(clause) if purpose else ""
        if heavy:
            return _quote(clause), f"not told the way records are ({heavy})"
    return "", ""


def _quote(clause: Clause) -> str:
    return " ".join(clause.text.split())[:160]


# --- weighing -----------------------------------------------------------------------------------


def _fit(sheet: _Sheet, facts: _Facts) -> None:
    topic = "useful services earn revenue insight customers operations time saved people"
    if facts.pointless:
        quote = facts.pointless
        sheet.add("fit", FIT_POINTLESS, topic=topic, quote=quote, note="no use is intended")
        sheet.advise("Say who gains what from it.")
        return
    benefits = _benefits(facts, sheet.blueprint) if facts.shape else None
    if benefits:
        name, quote = benefits
        sheet.add("fit", FIT, topic=topic, quote=quote, note=name)
        return
    if facts.shape and facts.subject >= 2:
        note = "useful work, none of the benefits that the blueprint names"
        sheet.add("fit", FIT_USEFUL, topic=topic, quote=facts.shape, note=note)
        return
    sheet.add("fit", FIT_UNKNOWN, topic=topic, note="no use for anybody was recognised")
    sheet.advise("Say what it does for whom: what is tracked, counted, decided or saved.")


def _benefits(facts: _Facts, blueprint: Blueprint) -> tuple[str, str] | None:
    clauses = facts.stated.clauses
    for clause in clauses:
        for name, stems in v.BENEFIT.items():
            if not stems.isdisjoint(clause.stems):
                return name, _quote(clause)
    if facts.subject < CLEAR_STEMS:
        return None
    for clause in clauses:
        shared = blueprint.welcomed.intersection(clause.stems)
        if shared:
            return f"the blueprint speaks of {', '.join(sorted(shared))}", _quote(clause)
    return None


def _shape(reading: Reading, named: list[list[str]], *, groundwork: bool) -> str:
    """The clause that says what is kept, counted or shown; "" when too little is named.

    A list of things is as clear as a verb: what a service is about is what it keeps. Groundwork
    acts by nature; any action will do there: its tier takes it before a person.
    """
    if groundwork:
        return _first_with(v.ACTION, reading)
    told = any(not v.OBSERVE.isdisjoint(clause.stems) for clause in reading.clauses)
    things = [{word for word in words if word not in v.HOLLOW} for words in named]
    if len(set().union(*things)) < THINGS - told:
        return ""
    most = max(range(len(things)), key=lambda number: len(things[number]))
    return _quote(reading.clauses[most])


def _first_with(stems: frozenset[str], reading: Reading) -> str:
    """The first clause that has one of these stems; "" when none has."""
    return next((_quote(c) for c in reading.clauses if not stems.isdisjoint(c.stems)), "")


def _named_in(clause: Clause) -> list[str]:
    """The words that say what it is about: in no class of function, general or vague words."""
    return [w for w in clause.stems if w not in v.NO_SUBJECT and len(w) > 2 and w.isalpha()]


def _groundwork(sheet: _Sheet, facts: _Facts, intent: Intent) -> None:
    topic = "system improves itself shared infrastructure safer faster"
    quote = mentions(v.GROUNDWORK, facts.stated)
    declared = intent.service_type in TIER_BY_TYPE or intent.kind == "component"
    if (quote and facts.shape) or declared:
        note = "groundwork for the whole" if quote else f"declared as {intent.service_type}"
        sheet.add("groundwork", GROUNDWORK, topic=topic, quote=quote, note=note)
    else:
        sheet.add("groundwork", 0.0, topic=topic, note="serves one purpose, not the whole")


def _clarity(sheet: _Sheet, facts: _Facts, intent: Intent) -> None:
    topic = "quality tested measured promised"
    subject = facts.subject
    named = SUBJECT if subject >= CLEAR_STEMS else SUBJECT * subject / 4
    sheet.add("clarity: subject", named, topic=topic, note=f"{subject} words say what it is about")
    sheet.add("clarity: action", ACTION if facts.shape else 0.0, topic=topic, quote=facts.shape)
    measure = _first_with(v.MEASURE, facts.stated)
    sheet.add("clarity: measure", MEASURE if measure else 0.0, topic=topic, quote=measure)
    spec = intent.spec or {}
    detailed = len(intent.key_features) >= 2 or bool(spec.get("records"))
    sheet.add("clarity: detail", DETAIL if detailed else 0.0, topic=topic)
    sheet.add("clarity: scenarios", SCENARIOS if spec.get("scenarios") else 0.0, topic=topic)
    vague = count(v.VAGUE, facts.stated)
    if vague * VAGUE_SHARE > subject:  # "things" beside enough that is named do no harm
        quote = mentions(v.VAGUE, facts.stated)
        sheet.add("clarity: vague words", VAGUE * min(vague, 2), topic=topic, quote=quote)
    quote, why = facts.unread
    if quote:
        note = f"{why}, so a person reads it"
        sheet.add("clarity: unreadable", UNREADABLE, topic=topic, quote=quote, note=note)
    if subject < CLEAR_STEMS or not facts.shape:
        sheet.advise("Name what is recorded, what is done with it and what comes out.")
    if not measure:
        sheet.advise("Name a result that can be measured: a total, a rate, a time.")


def _people(sheet: _Sheet, facts: _Facts, intent: Intent) -> None:
    topic = "people decide infrastructure money personal data outside effects undone"
    if intent.kind == "retire":
        sheet.add("people decide", 0.0, topic=topic, note="a running service would end")
        return
    if not facts.effects:
        sheet.add("people decide", PEOPLE, topic=topic, note="nothing in it needs a person first")
        return
    first, *others = facts.effects
    sheet.add("people decide", 0.0, topic=topic, quote=first.quote, note=first.name)
    for other in others:
        sheet.add("people decide", 0.0, topic=topic, quote=other.quote, note=other.name)
    names = ", ".join(finding.name for finding in facts.effects)
    sheet.advise(f"A person should look at: {names}.")


def _record(sheet: _Sheet, facts: _Facts) -> None:
    topic = "record decision reason hide weaken bypass log policies approvals"
    found = [f for f in facts.attempts if f.principle == "record"]
    _conflicts(sheet, "on the record", RECORD, topic, found)


def _harmless(sheet: _Sheet, facts: _Facts) -> None:
    topic = "lawful private harmless deception surveillance attack"
    found = [f for f in facts.attempts if f.principle == "harmless"]
    _conflicts(sheet, "harmless", HARMLESS, topic, found)


def _conflicts(
    sheet: _Sheet, criterion: str, weight: float, topic: str, found: list[Finding]
) -> None:
    if not found:
        sheet.add(criterion, weight, topic=topic, note="nothing against it found")
        return
    hostile = [f for f in found if f.kind == "hostile"]
    worst = (hostile or found)[0]
    points = HOSTILE if hostile else SUSPECT
    note = worst.name if hostile else f"{worst.name}: close to it, or only mentioned"
    sheet.add(criterion, points, topic=topic, quote=worst.quote, note=note)
    for other in _once(found):
        if other.name != worst.name:
            sheet.add(criterion, 0.0, topic=topic, quote=other.quote, note=other.name)
    sheet.advise(f"Take out what {worst.name}." if hostile else "Say plainly what it does not do.")


def _small(sheet: _Sheet, facts: _Facts, intent: Intent) -> None:
    topic = "small parts one purpose a service declared dependencies"
    sweeping = mentions(v.SWEEPING, facts.stated)
    many = len(intent.dependencies) > DEPENDENCIES_MANY or len(intent.key_features) > FEATURES_MANY
    if sweeping or many:
        note = f"{len(intent.dependencies)} dependencies, {len(intent.key_features)} features"
        sheet.add("small parts", 0.0, topic=topic, quote=sweeping, note=note)
        sheet.advise("Split it: one purpose a service.")
    else:
        sheet.add("small parts", SMALL, topic=topic)


def _reach(sheet: _Sheet, facts: _Facts) -> None:
    """Who needs it is no matter of fit: it counts as risk, and the line says who."""
    radius = facts.radius
    if radius is None or not radius.direct:
        return
    note = f"{_needing(radius)} ({_named((*radius.direct, *radius.further))})"
    topic = "small parts declared dependencies replaceable stopping rest"
    sheet.add("blast radius", 0.0, topic=topic, note=note)
    sheet.advise("See to it that those who need it can do with the new one.")


def _needing(radius: BlastRadius) -> str:
    text = f"running services that need it: {len(radius.direct)}"
    return f"{text}, that need those: {len(radius.further)}" if radius.further else text


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _floor(sheet: _Sheet, facts: _Facts) -> None:
    """Unclear is not misaligned: without a conflict a person decides, and nothing is blocked."""
    conflict = any(f.kind == "hostile" for f in facts.attempts)
    if conflict or facts.pointless:
        return
    missing = FLOOR - sheet.total
    if missing > 0:
        sheet.add("no conflict", missing, note="unclear or weighty, but not against the blueprint")


# --- the answer ---------------------------------------------------------------------------------


def _assessment(intent: Intent, facts: _Facts, sheet: _Sheet, version: str) -> Assessment:
    score = min(max(sheet.total, 0.0), 1.0)
    self_reference = bool(facts.self_references) or intent.kind == "component"
    tier = effective_tier(intent, self_reference)
    factors = _risk_factors(intent, facts, tier, self_reference)
    level = _level(factors)
    aligned = score >= ALIGNED
    values = {
        "alignment_score": score,
        "aligned": aligned,
        "risk_level": level,
        "risk_factors": tuple(f"{name} (+{points})" for name, points in factors),
        "reasoning": _reasoning(sheet, score, aligned, level, tier),
        "recommendations": tuple(sheet.recommendations),
        "tier": tier,
        "claimed_tier": intent.target_tier,
        "self_reference": self_reference,
        "effects": _effect_names(intent, facts),
        "blast_radius": facts.radius,
        "evaluator": "rubric",
        "rubric_version": version,
        "evidence": tuple(sheet.lines),
        "usage": None,
    }
    return made(Assessment, values)


def effective_tier(intent: Intent, self_reference: bool) -> int:
    """The more careful of the claimed tier, that of its service type, and 0 for this system."""
    by_type = TIER_BY_TYPE.get(intent.service_type, DEFAULT_TIER)
    found = 0 if self_reference else min(by_type, DEFAULT_TIER)
    return min(intent.target_tier, found) if found < DEFAULT_TIER else intent.target_tier


def _effect_names(intent: Intent, facts: _Facts) -> tuple[str, ...]:
    names = [finding.name for finding in facts.effects]
    return (*names, "retires a service") if intent.kind == "retire" else tuple(names)


def _risk_factors(
    intent: Intent, facts: _Facts, tier: int, self_reference: bool
) -> list[tuple[str, int]]:
    points = RISK_POINTS
    found = _declared_risks(intent, tier, self_reference)
    radius = facts.radius
    if radius is not None and radius.direct:
        found.append((_needing(radius), _reached(radius)))
    if facts.unread[0]:
        found.append(("a part was not understood", points["suspect"]))
    if facts.pointless:
        found.append(("no use is intended", points["unclear"]))
    found += [(effect.name, points["effect"]) for effect in facts.effects]
    for attempt in _worst_of_each(facts.attempts):
        kind = "hostile" if attempt.kind == "hostile" else "suspect"
        found.append((attempt.name, points[kind]))
    return found


def _declared_risks(intent: Intent, tier: int, self_reference: bool) -> list[tuple[str, int]]:
    """What the fields of the intent say, and whether it is about this system."""
    points = RISK_POINTS
    found: list[tuple[str, int]] = []
    if tier == 0:
        found.append(("tier 0", points["tier 0"]))
    if self_reference:
        found.append(("touches this system itself", points["this system itself"]))
    if tier < intent.target_tier:
        claimed = f"claims tier {intent.target_tier}, is tier {tier}"
        found.append((claimed, points["claimed tier too low"]))
    if used := BUILT_IN.intersection(intent.dependencies):
        found.append((f"depends on {', '.join(sorted(used))}", points["built-in dependency"]))
    if len(intent.dependencies) > DEPENDENCIES_MANY:
        found.append(("many dependencies", points["many dependencies"]))
    if intent.service_type == "data":
        found.append(("holds data for others", points["holds data for others"]))
    if intent.kind == "retire":
        found.append(("ends a running service", points["retire"]))
    return found


def _reached(radius: BlastRadius) -> int:
    direct, further = RISK_POINTS["needs it"], RISK_POINTS["needs those"]
    return min(len(radius.direct) * direct + len(radius.further) * further, RADIUS_MAX)


def _worst_of_each(found: Iterable[Finding]) -> Iterable[Finding]:
    ordered = sorted(found, key=lambda finding: finding.kind != "hostile")
    return _once(ordered)


def _level(factors: list[tuple[str, int]]) -> RiskLevel:
    total = sum(points for _, points in factors)
    return next(level for least, level in RISK_LEVELS if total >= least)


def _reasoning(sheet: _Sheet, score: float, aligned: bool, level: RiskLevel, tier: int) -> str:
    verdict = "fits the blueprint" if aligned else "conflicts with the blueprint"
    losses = [line for line in sheet.lines if line.quote and line.note and line.points <= 0]
    losses.sort(key=lambda line: line.points)
    against = "; ".join(f"{line.criterion}: {line.note}" for line in losses[:3])
    because = f" Against it: {against}." if against else ""
    return f"Scores {score:.2f}: {verdict}. Risk {level}, tier {tier}.{because}"
