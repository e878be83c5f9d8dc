"""Names in generated code: classes, functions and events that cannot collide."""

import sys
from collections.abc import Iterable

from domain.spec.words import bag, is_keyword, plural

_PAST = {
    "begin": "begun",
    "bring": "brought",
    "build": "built",
    "buy": "bought",
    "choose": "chosen",
    "cut": "cut",
    "do": "done",
    "draw": "drawn",
    "find": "found",
    "freeze": "frozen",
    "get": "got",
    "give": "given",
    "go": "gone",
    "hide": "hidden",
    "hold": "held",
    "keep": "kept",
    "leave": "left",
    "lend": "lent",
    "lose": "lost",
    "make": "made",
    "meet": "met",
    "pay": "paid",
    "put": "put",
    "read": "read",
    "redo": "redone",
    "rewrite": "rewritten",
    "sell": "sold",
    "send": "sent",
    "set": "set",
    "show": "shown",
    "split": "split",
    "take": "taken",
    "undo": "undone",
    "win": "won",
    "withdraw": "withdrawn",
    "write": "written",
}
_DOUBLED = bag("""
    admit cancel commit compel control defer drop equip expel flag label log map omit permit plan
    prefer propel rebut refer scan ship skip stop strip submit swap tag transfer transmit trap
    travel unship wrap
""")
_VOWELS = "aeiou"
# Top-level packages that the service itself imports, or that would hide them.
_TAKEN_PACKAGES = bag("""
    benchmarks cel_expr_python deploy docs domain eventsourcing examples httpx infra jinja2
    litestar nats orjson phoenix projections pydantic pytest services structlog tests uvicorn
    wordllama
""")


class Namer:
    """Hands out names that nobody has yet; a taken one gets an underscore or a number."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, wanted: str, otherwise: str = "") -> str:
        candidates = (wanted, otherwise or f"{wanted}_")
        number = 2
        for name in candidates:
            if name not in self._taken and not is_keyword(name):
                self._taken.add(name)
                return name
        while f"{candidates[1]}{number}" in self._taken:
            number += 1
        self._taken.add(f"{candidates[1]}{number}")
        return f"{candidates[1]}{number}"


def package_name(service_name: str) -> str:
    """The import name of a service; one that would hide another package gets a suffix."""
    name = service_name.replace("-", "_")
    hides = name in sys.stdlib_module_names or name in _TAKEN_PACKAGES or is_keyword(name)
    return f"{name}_service" if hides else name


def camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.replace("-", "_").split("_"))


def past(command: str) -> str:
    """A command as what happened: ``mark_paid`` becomes ``marked_paid``."""
    verb, separator, rest = command.partition("_")
    return _past(verb) + separator + rest


def _past(verb: str) -> str:
    if verb in _PAST:
        return _PAST[verb]
    for prefix in ("re", "un", "over", "out"):
        if verb.startswith(prefix) and verb.removeprefix(prefix) in _PAST:
            return prefix + _PAST[verb.removeprefix(prefix)]
    if verb in _DOUBLED:
        return f"{verb}{verb[-1]}ed"
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in _VOWELS:
        return f"{verb[:-1]}ied"
    return f"{verb}ed"


def words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def article(name: str) -> str:
    text = words(name)
    return f"{'an' if text[0] in _VOWELS else 'a'} {text}"


__all__ = ["Namer", "article", "camel", "package_name", "past", "plural", "words"]
