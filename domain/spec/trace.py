"""Which requirement is shown by which scenarios, and the requirements that a SPEC implies."""

from collections.abc import Iterable, Iterator

from domain.spec import language, words
from domain.spec.ears import as_ears
from domain.spec.model import Record, Report, Requirement, Scenario, Spec
from domain.spec.scenarios import name_of


def requirements(spec: Spec) -> tuple[Requirement, ...]:
    """The SPEC's requirements with their scenarios found again, one for each key feature that has
    none yet, and the implied ones for records, states, rules and reports that none speaks of."""
    kept = [_traced(spec, requirement) for requirement in spec.requirements]
    sources = {requirement.source for requirement in kept}
    taken = {requirement.id for requirement in kept}
    for feature in spec.key_features:
        if feature not in sources:
            text = as_ears(feature, spec.service_name)
            made = Requirement(id=_free(taken), text=text[:1000], source=feature)
            kept.append(_traced(spec, made))
    shown = {name for requirement in kept for name in requirement.scenarios}
    texts = {requirement.text for requirement in kept}
    for text, names in _implied(spec):
        if text not in texts and not shown.issuperset(names) and names:
            kept.append(Requirement(id=_free(taken), text=text[:1000], scenarios=names))
    return tuple(kept)


def scenarios_for(spec: Spec, text: str) -> tuple[str, ...]:
    """The scenarios that show what a text asks for, by the things of the SPEC that it names."""
    found: dict[str, None] = {}
    for clause in language.clauses(text):
        for scenario in _of_clause(spec, clause):
            found[scenario.name] = None
    return tuple(found)


def _free(taken: set[str]) -> str:
    number = next(n for n in range(1, 1000) if f"R{n}" not in taken)
    taken.add(f"R{number}")
    return f"R{number}"


def _traced(spec: Spec, requirement: Requirement) -> Requirement:
    if requirement.scenarios:
        return requirement
    found = scenarios_for(spec, requirement.source or requirement.text)
    return requirement.model_copy(update={"scenarios": found})


def _of_clause(spec: Spec, clause: language.Clause) -> Iterator[Scenario]:
    names = {*clause.records, *clause.nouns, *clause.groups}
    named = [record for record in spec.records if _names(record, names)]
    for report in spec.reports:
        if (clause.report or clause.groups) and _asks_for(spec, report, clause, named):
            yield from calling(spec, f"/reports/{report.name}")
    for record in named or (spec.records if clause.scenario else ()):
        for command in clause.commands:
            yield from calling(spec, f"/{record.plural}/", f"/{command}")
        if not clause.report and not clause.commands and not clause.groups:
            yield from calling(spec, f"/{record.plural}")
    if not named and not clause.report:
        for record in spec.records:
            for command in clause.commands:
                yield from calling(spec, f"/{record.plural}/", f"/{command}")


def _names(record: Record, names: Iterable[str]) -> bool:
    own = {record.name, words.singular(record.plural)}
    return any(name in own or name.split("_")[-1] in own for name in names)


def _asks_for(spec: Spec, report: Report, clause: language.Clause, named: list[Record]) -> bool:
    if named and report.record not in [record.name for record in named]:
        others = {group.field for group in report.groups}
        if not others & {record.name for record in named}:
            return False
    fields = {group.field for group in report.groups}
    functions = {group.function for group in report.groups if group.function}
    if clause.measure and clause.measure != report.measure and clause.measure != "sum":
        return False
    if clause.groups and not fields.intersection(_state_as_named(clause.groups)):
        return False
    return not clause.times or bool(functions.intersection(clause.times))


def _state_as_named(groups: Iterable[str]) -> set[str]:
    named = {"state" if group == "status" else group for group in groups}
    return named | set(groups) | {language.unreserved(group) for group in groups}


def calling(spec: Spec, start: str, end: str = "") -> Iterator[Scenario]:
    """The scenarios whose last calls are about this path."""
    for scenario in spec.scenarios:
        paths = [step.path.partition("?")[0] for step in scenario.steps[-2:]]
        if any(_about(path, start, end) for path in paths):
            yield scenario


def _about(path: str, start: str, end: str) -> bool:
    inside = path == start or path.startswith(start if start.endswith("/") else f"{start}/")
    return inside and path.endswith(end)


def _implied(spec: Spec) -> Iterator[tuple[str, tuple[str, ...]]]:
    for record in spec.records:
        yield from _implied_by_record(spec, record)
    for rule in spec.rules:
        text = (
            f"If {rule.check} does not hold on {' or '.join(rule.on)} of "
            f"{name_of_record(spec, rule.record)}, then the {spec.service_name} service shall "
            f'refuse it with "{rule.message}".'
        )
        yield text, _refusals(spec, rule.record)
    for report in spec.reports:
        what = "number" if report.measure == "count" else f"{report.measure} of {report.field}"
        by = f" by {', '.join(report.group_by)}" if report.group_by else ""
        text = (
            f"When a client asks for the report {report.name}, the {spec.service_name} service "
            f"shall answer with the {what}{by}."
        )
        yield text, tuple(s.name for s in calling(spec, f"/reports/{report.name}"))


def name_of_record(spec: Spec, name: str) -> str:
    record = spec.record(name)
    return name_of(record) if record else name


def _implied_by_record(spec: Spec, record: Record) -> Iterator[tuple[str, tuple[str, ...]]]:
    path, service = f"/{record.plural}", f"the {spec.service_name} service"
    about = tuple(calling(spec, path))
    refused = tuple(s.name for s in about if s.steps[-1].expect.status in (404, 409, 422))
    stored = tuple(s.name for s in about if s.name not in refused)
    commands = {f"/{command}" for command in record.commands}
    stored = tuple(n for n in stored if not any(_ends(spec, n, c) for c in commands))
    one = name_of(record)
    yield (
        f"When a client posts {one} that is valid, {service} shall store it and return its id.",
        stored,
    )
    yield (
        f"If {one} is invalid or unknown, then {service} shall refuse it with the reason.",
        refused,
    )
    for transition in record.states.transitions if record.states else ():
        text = (
            f"While {one} is {' or '.join(transition.from_)}, when a client sends "
            f"{transition.command}, {service} shall make it {transition.to}."
        )
        yield text, tuple(s.name for s in calling(spec, f"{path}/", f"/{transition.command}"))


def _ends(spec: Spec, name: str, end: str) -> bool:
    scenario = next(s for s in spec.scenarios if s.name == name)
    return scenario.steps[-1].path.endswith(end)


def _refusals(spec: Spec, record: str) -> tuple[str, ...]:
    found = spec.record(record)
    path = f"/{found.plural}" if found else ""
    return tuple(
        s.name for s in calling(spec, path) if any(step.expect.status == 409 for step in s.steps)
    )
