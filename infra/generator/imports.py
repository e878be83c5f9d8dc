"""The import block of a generated module: exactly what its code names, in ruff's order."""

import ast
from collections import defaultdict
from collections.abc import Mapping

STDLIB = {
    "collections.abc": "Callable Iterator Mapping Sequence",
    "datetime": "UTC date datetime",
    "decimal": "Decimal",
    "functools": "singledispatchmethod wraps",
    "pathlib": "Path",
    "sqlite3": "Connection",
    "types": "SimpleNamespace",
    "typing": "Annotated Any Literal ParamSpec Self TypeVar",
    "uuid": "UUID uuid5",
}
THIRD_PARTY = {
    "domain.errors": "DomainError Invalid NotFound TransientError",
    "eventsourcing.application": "AggregateNotFoundError Application",
    "eventsourcing.domain": "Aggregate",
    "eventsourcing.persistence": "IntegrityError JSONTranscoder PersistenceError Transcoding",
    "eventsourcing.utils": "TopicError",
    "hypothesis": "strategies",
    "infra.http.problems": "PROBLEM_HANDLERS",
    "infra.http.requests": "command_id",
    "infra.ports": "Context Term",
    "infra.service_kit.handlers": "Handler HandlerFailed typed worked_out",
    "infra.service_kit.hosting": "instance_dir persistence",
    "infra.service_kit.http": (
        "PAGE_DEFAULT PROBLEMS Limit described done gone only paged read_your_writes row_of"
        " unreferred version_of"
    ),
    "infra.service_kit.personal": "PersonalApplication not_erased",
    "infra.service_kit.read_model": "ReadModel",
    "infra.service_kit.rules": (
        "Rule RuleBroken Taken both either enforce holds in_state quotient remainder seen"
    ),
    "infra.service_kit.tables": "Table loaded yes_or_no",
    "litestar": "Controller Litestar Request Response delete get patch post",
    "litestar.params": "FromPath FromQuery JSONBody QueryParameter",
    "litestar.testing": "TestClient",
    "pydantic": (
        "AfterValidator AwareDatetime BaseModel BeforeValidator ConfigDict Field ValidationError"
        " model_validator"
    ),
}
MODULES = {
    "re": True,
    "hypothesis": False,
    "pytest": False,
}  # imported whole; True: the standard library
LINE = 100


def known_names() -> frozenset[str]:
    """Every name that the import block may bring into a module."""
    names = [
        name for table in (STDLIB, THIRD_PARTY) for text in table.values() for name in text.split()
    ]
    return frozenset((*names, *MODULES))


def with_imports(source: str, own: Mapping[str, str]) -> str:
    """Return the module with its imports after the docstring. ``own``: name -> module, or
    ``module:original`` for a name that is imported under another."""
    tree = ast.parse(source)
    defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    defined |= {
        t.id
        for n in tree.body
        if isinstance(n, ast.Assign)
        for t in n.targets
        if isinstance(t, ast.Name)
    }
    used = _loaded(tree) - defined
    block = "\n\n".join(part for part in _groups(used, own) if part)
    docstring = tree.body[0]
    if ast.get_docstring(tree) is None or docstring.end_lineno is None:
        raise ValueError("a generated module starts with a docstring")
    lines = source.splitlines()
    head, body = lines[: docstring.end_lineno], lines[docstring.end_lineno :]
    rest = "\n".join(body).strip("\n")
    # Two blank lines before a function or class, one before anything else, as formatters want it.
    gap = "\n\n\n" if rest.startswith(("def ", "class ", "@")) else "\n\n"
    return "\n".join(head) + "\n\n" + block + (gap if block else "") + rest + "\n"


def _loaded(tree: ast.Module) -> set[str]:
    """Every name that is read; a class's own field of that name is only set."""
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Load)}


def _groups(used: set[str], own: Mapping[str, str]) -> list[str]:
    standard = _of(STDLIB, used, [name for name, std in MODULES.items() if std])
    third = _of(THIRD_PARTY, used, [name for name, std in MODULES.items() if not std])
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(used & set(own)):
        module, _, original = own[name].partition(":")
        found[module].append(f"{original} as {name}" if original else name)
    return [standard, third, _block(found, [])]


def _of(table: Mapping[str, str], used: set[str], whole: list[str]) -> str:
    found = {
        module: [name for name in names.split() if name in used] for module, names in table.items()
    }
    return _block(found, [name for name in whole if name in used])


def _block(found: Mapping[str, list[str]], whole: list[str]) -> str:
    lines = [f"import {name}" for name in sorted(whole)]
    lines += [_line(module, found[module]) for module in sorted(found) if found[module]]
    return "\n".join(lines)


def _line(module: str, names: list[str]) -> str:
    renamed = [name for name in names if " as " in name]
    if renamed:
        others = [name for name in names if name not in renamed]
        lines = [_line(module, others)] if others else []
        return "\n".join(lines + [f"from {module} import {name}" for name in sorted(renamed)])
    ordered = sorted(names, key=_rank)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"


def _rank(imported: str) -> tuple[int, str]:
    """Constants, classes, functions: each by alphabet."""
    name = imported.partition(" as ")[0]
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1 if name[:1].isupper() else 2), name
