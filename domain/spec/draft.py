"""A SPEC from an intent without a model: the structured ``spec`` where there is one, else what the
text names by the published rules of ``domain.spec.language``; never an invented service."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from domain.errors import DomainError
from domain.intent import Intent
from domain.spec import lexicon, words
from domain.spec.fields import customary, typed
from domain.spec.language import Clause, NamedField, clauses, unreserved
from domain.spec.model import (
    NUMERIC,
    TEMPORAL,
    Problem,
    RecordField,
    Spec,
    SpecInvalid,
    read_spec,
)
from domain.spec.sample import Judge
from domain.spec.scenarios import completed
from domain.spec.trace import requirements

FIELD_HELP = (
    "text, int, decimal, bool, date, datetime, email, enum (with values), uuid, ref:<record>"
)


class NeedsDetail(DomainError):
    """Too little to build on; ``questions`` are what a person has to answer."""

    def __init__(self, questions: tuple[str, ...]) -> None:
        super().__init__(" ".join(questions))
        self.questions = questions


@dataclass(frozen=True, slots=True)
class Draft:
    """``notes`` say by which rule each part came about, and what nothing came of."""

    spec: Spec
    notes: tuple[str, ...] = ()
    submitted: bool = False  # from a structured ``spec``, not from text


def draft(intent: Intent, *, version: str = "1.0.0", judge: Judge | None = None) -> Draft:
    """Return the SPEC of an intent.

    Raises:
        NeedsDetail: the text names no record.
        SpecInvalid: the intent's ``spec`` is not one; says where and what is allowed.
    """
    head = _head(intent, version)
    if intent.spec:
        if intent.spec.get("custom"):
            raise SpecInvalid((Problem("custom", "is written by a model: ask in metadata.custom"),))
        settled = {name: head[name] for name in ("service_name", "tier")}
        if intent.port is not None:
            settled["port"] = intent.port
        document = {**head, **_tidy(intent.spec), **settled}
        return replace(complete(read_spec(document), judge), submitted=True)
    reading = _read(intent.key_features, intent.purpose)
    if not reading.records:
        raise NeedsDetail(questions(intent.service_name, intent.key_features))
    made = complete(read_spec({**head, **reading.document()}), judge)
    return replace(made, notes=(*reading.notes, *made.notes))


def document_from_text(features: Iterable[str], purpose: str) -> dict[str, Any]:
    """The records and reports that sentences name, as the JSON of a SPEC; may be empty."""
    return _read(features, purpose).document()


def _read(features: Iterable[str], purpose: str) -> "_Reading":
    """What features and purpose name. Where the features name records, the purpose, which is prose,
    adds only what it says to be kept in so many words ("collect comments")."""
    reading = _Reading()
    listed = [clause for text in features for clause in clauses(text)]
    prose = clauses(purpose)
    for clause in listed:
        reading.records_of(clause)
    if reading.records:
        for clause in prose:
            clause.records = [
                n for n in clause.records if n in reading.records or n in clause.stored
            ]
    for clause in prose:
        reading.records_of(clause)
    parts = [*listed, *prose]
    if not reading.records:
        _weakly_named(reading, parts)
    for clause in parts if reading.records else ():
        reading.reports_of(clause)
    return reading


def complete(spec: Spec, judge: Judge | None = None) -> Draft:
    """Add what follows from a SPEC: scenarios that nothing shows yet, requirements, a title."""
    full = spec.model_copy(update={"title": spec.title or _title(spec.service_name)})
    full = full.model_copy(update={"scenarios": completed(full, judge)})
    full = full.model_copy(update={"requirements": requirements(full)})
    added = len(full.scenarios) - len(spec.scenarios)
    notes = [f"{added} scenarios follow from the records, states and reports"] if added else []
    notes += [
        f"nothing in this SPEC shows {requirement.source!r}"
        for requirement in full.requirements
        if requirement.source and not requirement.scenarios
    ]
    return Draft(read_spec(full.document()), tuple(notes))


def questions(service: str, features: Iterable[str] = ()) -> tuple[str, ...]:
    """What a person must say before a service can be built."""
    asked = [
        f"Which records does {service} keep? Give each a name and typed fields ({FIELD_HELP}).",
        "Which states does each record go through, and which command leads from one to the next? "
        "(none is an answer)",
        "Which reports are wanted: count, sum, avg, min or max of which field, grouped by what?",
    ]
    asked += [f"What is stored or answered by the feature {feature!r}?" for feature in features]
    return tuple(asked)


def _head(intent: Intent, version: str) -> dict[str, Any]:
    return {
        "service_name": intent.service_name,
        "purpose": intent.purpose,
        "version": version,
        "tier": intent.target_tier,
        "port": intent.port,
        "dependencies": intent.dependencies,
        "key_features": intent.key_features,
    }


def _title(service: str) -> str:
    return service.replace("-", " ").capitalize()


def _tidy(spec: dict[str, Any]) -> dict[str, Any]:
    """Record names such as ``OrderLine`` in snake_case, everywhere; the rest as submitted."""
    renamed: dict[str, str] = {}
    for record in spec.get("records") or ():
        name = record.get("name") if isinstance(record, dict) else None
        if isinstance(name, str) and words.identifier(name) != name:
            renamed[name] = words.identifier(name)
    return _renamed(spec, renamed) if renamed else dict(spec)


def _renamed(spec: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    def walk(value: Any, key: str, where: str) -> Any:
        if isinstance(value, dict):
            return {k: walk(v, k, where or k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item, key, where) for item in value]
        if isinstance(value, str):
            return _rename(value, key, where, names)
        return value

    return {key: walk(value, key, key) for key, value in spec.items()}


def _rename(value: str, key: str, where: str, names: dict[str, str]) -> str:
    if key == "record" or (key == "name" and where == "records" and value in names):
        return names.get(value, value)
    if key == "type" and value.startswith("ref:"):
        return f"ref:{names.get(value[4:], value[4:])}"
    return value


def _weakly_named(reading: "_Reading", parts: Iterable[Clause]) -> None:
    """No verb keeps anything: a noun that is customary for a record and is reported on will do."""
    for clause in parts:
        for name in clause.nouns:
            if name.rpartition("_")[2] in lexicon.KNOWN:
                reading.records_of(Clause(clause.text, records=[name]))


@dataclass(slots=True)
class _Record:
    name: str
    fields: dict[str, RecordField] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    named: bool = False  # its fields were listed in the text


@dataclass(slots=True)
class _Reading:
    """What has been read so far; ``order`` of first mention everywhere."""

    records: dict[str, _Record] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def records_of(self, clause: Clause) -> None:
        for name in clause.records:
            if name not in self.records:
                self.records[name] = _Record(name)
                self.notes.append(f"record {name}: named by {clause.text!r}")
            self._fields_of(self.records[name], clause)

    def _fields_of(self, record: _Record, clause: Clause) -> None:
        for named in clause.fields if record.name == clause.records[-1] else ():
            record.named = True
            self._add(record, named, f"listed in {clause.text!r}")
        own = clause.commands_of.get(record.name, ())
        record.commands += [c for c in own if c not in record.commands]

    def _add(self, record: _Record, named: NamedField, why: str) -> RecordField:
        made = typed(named, frozenset(self.records) - {record.name})
        if made.name not in record.fields:
            record.fields[made.name] = made
            self.notes.append(f"{record.name}.{made.name} ({made.type}): {why}")
        return record.fields[made.name]

    def reports_of(self, clause: Clause) -> None:
        """Settle the fields that customs and groups add, then the reports asked for."""
        for record in self.records.values():
            if not record.named and not record.fields:
                for name in customary(record.name):
                    self._add(record, NamedField(name), f"customary for {record.name}")
        if not (clause.report or clause.groups or clause.times):
            return
        for record in self._subjects(clause):
            groups = [g for g in map(lambda g: self._group(record, g, clause), clause.groups) if g]
            groups += [g for g in map(lambda t: self._time(record, t), clause.times) if g]
            if not groups and clause.report:
                groups = [g for g in (self._time(record, "month"),) if g] or self._first(record)
            if groups and not clause.looks_up:
                self._report(record, clause, tuple(dict.fromkeys(groups)))

    def _subjects(self, clause: Clause) -> list[_Record]:
        """The records a clause reports on: those it names, else the first one of all."""
        names = [name for name in (*clause.records, *clause.nouns) if name in self.records]
        heads = {name.rpartition("_")[2]: name for name in self.records}
        names += [heads[n] for n in clause.nouns if n in heads]
        names += [
            n.rpartition("_")[2] for n in clause.nouns if n.rpartition("_")[2] in self.records
        ]
        chosen = list(dict.fromkeys(names)) or list(self.records)[:1]
        return [self.records[name] for name in chosen]

    def _group(self, record: _Record, group: str, clause: Clause) -> str:
        if group in ("status", "state") and record.commands:
            return "state"
        if group in (record.name, record.name.rpartition("_")[2]):
            return ""
        group = unreserved(group) if unreserved(group) in self.records else group
        if group == "status" and "status" in record.fields:
            return "status"
        return self._add(record, NamedField(group), f"grouped by in {clause.text!r}").name

    def _time(self, record: _Record, unit: str) -> str:
        dated = next((f.name for f in record.fields.values() if f.type in TEMPORAL), None)
        return f"{unit}({dated or 'created_at'})"

    def _first(self, record: _Record) -> list[str]:
        return [f.name for f in record.fields.values() if f.type in ("enum", "text")][:1]

    def _report(self, record: _Record, clause: Clause, groups: tuple[str, ...]) -> None:
        numbers = [f.name for f in record.fields.values() if f.type in NUMERIC]
        said = [name for name in numbers if name.replace("_", " ") in clause.text.lower()]
        amount = next(iter((*said, *numbers)), None)
        measure = clause.measure or ("sum" if amount else "count")
        if amount is None and measure != "count":
            measure = "count"
        name = _report_name(record.name, measure, amount, groups)
        self.reports.setdefault(
            name,
            {
                "name": name,
                "record": record.name,
                "measure": measure,
                "field": None if measure == "count" else amount,
                "group_by": groups,
            },
        )
        self.notes.append(f"report {name}: asked for by {clause.text!r}")

    def document(self) -> dict[str, Any]:
        records = [self._record(record) for record in self.records.values()]
        return {"records": records, "reports": list(self.reports.values())}

    def _record(self, record: _Record) -> dict[str, Any]:
        made: dict[str, Any] = {"name": record.name, "fields": list(record.fields.values())}
        if record.commands:
            made["states"] = states(record.commands)
            self.notes.append(f"{record.name}: states from the commands named in the text")
        return made


def states(commands: Iterable[str]) -> dict[str, Any]:
    """States from workflow commands: each step follows the one before it in the order of work;
    refusing ends it, cancelling and archiving are possible from every open state."""
    steps = sorted({(*_place(command), command) for command in commands}, key=lambda step: step[1])
    current, reached, transitions = ["open"], ["open"], []
    for rank in sorted({step[1] for step in steps}):
        here = [step for step in steps if step[1] == rank]
        source = tuple(reached) if rank >= lexicon.WORKFLOW["cancel"][1] else tuple(current)
        for state, _, command in here:
            transitions.append({"command": command, "from": source, "to": state})
        onward = [state for state, _, command in here if command not in lexicon.REFUSING]
        if onward:
            current = onward
            reached += onward
    return {"initial": "open", "transitions": transitions}


def _place(command: str) -> tuple[str, int]:
    if command.startswith("mark_"):
        return command.removeprefix("mark_"), lexicon.WORKFLOW["complete"][1]
    return lexicon.WORKFLOW[command]


def _report_name(record: str, measure: str, amount: str | None, groups: tuple[str, ...]) -> str:
    """``monthly-revenue``, ``revenue-by-source``, ``average-order-by-customer``, ..."""
    adverbs = {"day": "daily", "month": "monthly", "year": "yearly"}
    times = [adverbs[group.partition("(")[0]] for group in groups if "(" in group]
    fields = [group for group in groups if "(" not in group]
    subject = words.plural(record) if measure == "count" else record
    prefix = {"avg": ["average"], "max": ["highest"], "min": ["lowest"]}.get(measure, [])
    parts = [*times, *prefix, subject, *(["by"] if fields else []), "-and-".join(fields)]
    return "-".join(part for part in parts if part).replace("_", "-")[:63]
