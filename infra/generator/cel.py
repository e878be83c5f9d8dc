"""A rule's CEL as a Python expression, so that generated code holds readable, exact conditions.

Numbers     ints and ``Decimal``: what CEL would compare as doubles is compared exactly.
Dates       a date or datetime beside a text literal is compared as a date or datetime.
Errors      CEL takes ``true || error`` as true whichever side the error is on; so that Python does
            the same, an operand that may fail goes after one that cannot, or into a thunk.
Never       a name or attribute that the SPEC does not declare, a call outside the table below.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from domain.errors import DomainError

Scope = Mapping[str, Mapping[str, str]]
"""For each variable (record, old, input) its fields with their SPEC types."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?u?)
    | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?"}
_KINDS = {"decimal": "number", "int": "number", "email": "text", "enum": "text"}
_ORDERED = frozenset(("number", "text", "date", "datetime"))
_STRING_METHODS = {"startsWith": "startswith", "endsWith": "endswith"}
_DATE_PARTS = {
    "getFullYear": ("{}.year", ""),
    "getMonth": ("{}.month", " - 1"),
    "getDate": ("{}.day", ""),
    "getDayOfMonth": ("{}.day", " - 1"),
    "getHours": ("{}.hour", ""),
    "getMinutes": ("{}.minute", ""),
}
_DEPTH_MAX = 40


class CelUnsupported(DomainError):
    """The expression is not one that this generator can turn into code; says where and why."""


@dataclass(frozen=True, slots=True)
class Python:
    """A translated expression. ``kind``: number, text, bool, date, datetime, uuid, null, list."""

    code: str
    kind: str
    fails: bool = False  # may raise: a missing value compared, a key that was not given
    level: int = 9  # binding strength: 9 atom, 5 sum, 4 comparison, 3 not, 2 and, 1 or, 0 if
    text: str | None = None  # the value, when it is a text literal

    def at(self, level: int) -> str:
        return self.code if self.level >= level else f"({self.code})"


@dataclass(slots=True)
class Translation:
    """The expression, and what the module around it has to import."""

    code: str
    helpers: frozenset[str]
    names: frozenset[str]  # fields of ``record`` that it reads


def translate(text: str, scope: Scope, *, old_exists: bool = False) -> Translation:
    """Return the condition as Python over the scope's variables (``input`` becomes ``given``).

    ``old_exists``: the rule is never asked when a record is created.

    Raises:
        CelUnsupported: a syntax error, an unknown name, a function that has no translation, a
            comparison of unlike types, or a result that is not yes or no.
    """
    parser = _Parser(text, scope, old_exists)
    found = parser.whole()
    if found.kind != "bool":
        raise CelUnsupported(f"{text!r} is {found.kind}, not a condition")
    return Translation(found.code, frozenset(parser.helpers), frozenset(parser.names))


@dataclass(slots=True)
class _Parser:
    source: str
    scope: Scope
    old_exists: bool = False
    helpers: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    at: int = 0
    depth: int = 0

    def whole(self) -> Python:
        self.tokens = self._scan()
        found = self._ternary()
        if self.at != len(self.tokens):
            raise self._error(f"unexpected {self._peek()!r}")
        return found

    # Reading tokens

    def _scan(self) -> list[tuple[str, str]]:
        tokens, at, text = [], 0, self.source.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise self._error(f"cannot read {text[at : at + 10]!r}")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        return tokens

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _sign(self, *signs: str) -> str:
        """Take the next token if it is one of these signs."""
        if self.at < len(self.tokens) and self.tokens[self.at] in [("sign", s) for s in signs]:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def _must(self, sign: str) -> None:
        if not self._sign(sign):
            raise self._error(f"expected {sign!r}, found {self._peek() or 'the end'!r}")

    def _name(self) -> str:
        if self.at < len(self.tokens) and self.tokens[self.at][0] == "name":
            self.at += 1
            return self.tokens[self.at - 1][1]
        raise self._error(f"expected a name, found {self._peek() or 'the end'!r}")

    def _error(self, why: str) -> CelUnsupported:
        return CelUnsupported(f"{self.source!r}: {why}")

    # The grammar, weakest binding first

    def _ternary(self) -> Python:
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise self._error("nested too deeply")
        condition = self._either()
        if self._sign("?"):
            self._want(condition, "bool")
            yes = self._either()
            self._must(":")
            no = self._ternary()
            if yes.kind != no.kind:
                raise self._error(f"one branch is {yes.kind}, the other {no.kind}")
            code = f"{yes.at(1)} if {condition.at(1)} else {no.at(0)}"
            fails = condition.fails or yes.fails or no.fails
            condition = Python(code, yes.kind, fails=fails, level=0)
        self.depth -= 1
        return condition

    def _either(self) -> Python:
        return self._logic("||", "or", 1, self._both)

    def _both(self) -> Python:
        return self._logic("&&", "and", 2, self._compared)

    def _logic(self, sign: str, word: str, level: int, part: Callable[[], Python]) -> Python:
        parts = [part()]
        while self._sign(sign):
            parts.append(part())
        if len(parts) == 1:
            return parts[0]
        for one in parts:
            self._want(one, "bool")
        failing = [one for one in parts if one.fails]
        if len(failing) > 1:
            helper = {"or": "either", "and": "both"}[word]
            self.helpers.add(helper)
            thunks = ", ".join(f"lambda: {one.at(0)}" for one in parts)
            return Python(f"{helper}({thunks})", "bool", fails=True)
        ordered = [one for one in parts if not one.fails] + failing
        code = f" {word} ".join(one.at(3) for one in ordered)
        return Python(code, "bool", fails=bool(failing), level=level)

    def _compared(self) -> Python:
        left = self._sum()
        if self._peek() == "in" and self.tokens[self.at][0] == "name":
            self.at += 1
            return self._inside(left, self._sum())
        sign = self._sign("==", "!=", "<=", ">=", "<", ">")
        if not sign:
            return left
        return self._comparison(left, sign, self._sum())

    def _comparison(self, left: Python, sign: str, right: Python) -> Python:
        left, right = self._alike(left, right)
        fails = left.fails or right.fails
        if "null" in (left.kind, right.kind):
            if sign not in ("==", "!="):
                raise self._error(f"null cannot be compared with {sign}")
            word = "is" if sign == "==" else "is not"
            if left.kind == "null":
                left, right = right, left
            code = f"{left.at(5)} {word} None"
            return Python(code, "bool", fails=left.fails and left.level == 8, level=4)
        if left.kind != right.kind:
            raise self._error(f"{left.kind} is compared with {right.kind}")
        if sign in ("==", "!="):
            return Python(
                f"{left.at(5)} {sign} {right.at(5)}", "bool", fails=_key(left, right), level=4
            )
        if left.kind not in _ORDERED:
            raise self._error(f"{left.kind} has no order")
        return Python(f"{left.at(5)} {sign} {right.at(5)}", "bool", fails=fails, level=4)

    def _inside(self, left: Python, right: Python) -> Python:
        if right.kind == "input":
            if left.text is None:
                raise self._error("only a text can be looked for in input")
            return Python(f"{left.code} in given", "bool", level=4)
        if not right.kind.startswith("list"):
            raise self._error(f"'in' needs a list, not {right.kind}")
        if right.kind not in ("list", f"list:{left.kind}"):
            raise self._error(f"{left.kind} is looked for in a {right.kind}")
        return Python(f"{left.at(5)} in {right.at(5)}", "bool", fails=_key(left), level=4)

    def _alike(self, left: Python, right: Python) -> tuple[Python, Python]:
        """A text literal beside a date, datetime or uuid is one of these."""
        if left.text is not None:
            return self._literal_as(left, right.kind), right
        if right.text is not None:
            return left, self._literal_as(right, left.kind)
        return left, right

    def _literal_as(self, literal: Python, kind: str) -> Python:
        assert literal.text is not None
        try:
            match kind:
                case "date":
                    date.fromisoformat(literal.text)
                    code = f"date.fromisoformat({quoted(literal.text)})"
                case "datetime":
                    if datetime.fromisoformat(literal.text).tzinfo is None:
                        raise self._error(f"{literal.text!r} has no time zone")
                    code = f"datetime.fromisoformat({quoted(literal.text)})"
                case "uuid":
                    code = f"UUID({quoted(str(UUID(literal.text)))})"
                case _:
                    return literal
        except ValueError:
            raise self._error(f"{literal.text!r} is not a {kind}") from None
        return Python(code, kind)

    def _sum(self) -> Python:
        left = self._product()
        while sign := self._sign("+", "-"):
            right = self._product()
            if sign == "+" and left.kind == right.kind == "text":
                kind = "text"
            else:
                self._want(left, "number")
                self._want(right, "number")
                kind = "number"
            code = f"{left.at(5)} {sign} {right.at(6)}"
            left = Python(code, kind, fails=left.fails or right.fails, level=5)
        return left

    def _product(self) -> Python:
        left = self._unary()
        while sign := self._sign("*", "/", "%"):
            right = self._unary()
            self._want(left, "number")
            self._want(right, "number")
            if sign == "*":
                code = f"{left.at(6)} * {right.at(7)}"
                left = Python(code, "number", fails=left.fails or right.fails, level=6)
                continue
            helper = {"/": "quotient", "%": "remainder"}[sign]
            self.helpers.add(helper)
            left = Python(f"{helper}({left.code}, {right.code})", "number", fails=True)
        return left

    def _unary(self) -> Python:
        if self._sign("!"):
            found = self._unary()
            self._want(found, "bool")
            return Python(f"not {found.at(3)}", "bool", fails=found.fails, level=3)
        if self._sign("-"):
            found = self._unary()
            self._want(found, "number")
            return Python(f"-{found.at(7)}", "number", fails=found.fails, level=7)
        return self._postfix(self._atom())

    def _postfix(self, found: Python) -> Python:
        while self._sign("."):
            found = self._method(found, self._name())
        return found

    def _atom(self) -> Python:
        if self._sign("("):
            found = self._ternary()
            self._must(")")
            return found
        if self._sign("["):
            return self._list()
        if self.at >= len(self.tokens):
            raise self._error("ends too early")
        kind, text = self.tokens[self.at]
        self.at += 1
        match kind:
            case "number":
                return self._number(text)
            case "text":
                value = _unquoted(text)
                return Python(quoted(value), "text", text=value)
            case "name":
                return self._word(text)
        raise self._error(f"unexpected {text!r}")

    def _number(self, text: str) -> Python:
        text = text.rstrip("u")
        whole = text.isdigit()
        return Python(
            str(int(text)) if whole else f"Decimal({quoted(str(Decimal(text)))})", "number"
        )

    def _list(self) -> Python:
        items: list[Python] = []
        while not self._sign("]"):
            items.append(self._ternary())
            if not self._sign(","):
                self._must("]")
                break
        kinds = {item.kind for item in items}
        if len(kinds) > 1:
            raise self._error("a list holds unlike things")
        inner = ", ".join(item.code for item in items)
        code = f"({inner},)" if len(items) == 1 else f"({inner})"
        kind = f"list:{kinds.pop()}" if kinds else "list"
        return Python(code, kind, fails=any(item.fails for item in items))

    def _word(self, name: str) -> Python:
        match name:
            case "true" | "false":
                return Python(name.capitalize(), "bool")
            case "null":
                return Python("None", "null")
            case "has":
                return self._has()
            case "size" | "int" | "double" | "string" | "timestamp":
                self._must("(")
                argument = self._ternary()
                self._must(")")
                return self._method(argument, name, called=True)
        if name not in self.scope:
            raise self._error(f"unknown name {name!r}; known: {', '.join(self.scope)}")
        if self._sign("."):
            return self._field(name, self._name())
        if name == "old":
            return Python("old", "object")
        if name == "input":
            return Python("given", "input")
        raise self._error(f"name a field: {name}.<field>")

    def _field(self, variable: str, name: str) -> Python:
        fields = self.scope[variable]
        if name not in fields:
            raise self._error(f"{variable} has no field {name!r}; it has: {', '.join(fields)}")
        declared = fields[name]
        required = declared.endswith("!")
        kind = declared.removesuffix("!")
        kind = "uuid" if kind.startswith("ref:") else _KINDS.get(kind, kind)
        if variable == "record":
            self.names.add(name)
        code = f"given[{quoted(name)}]" if variable == "input" else f"{variable}.{name}"
        there = variable == "record" or (variable == "old" and self.old_exists)
        # level 8 marks what fails even when compared with null: a key or an object not there
        return Python(code, kind, fails=not (required and there), level=9 if there else 8)

    def _has(self) -> Python:
        self._must("(")
        variable = self._name()
        if variable not in self.scope:
            raise self._error(f"unknown name {variable!r}")
        self._must(".")
        found = self._field(variable, self._name())
        self._must(")")
        name = found.code.rpartition(".")[2] if variable != "input" else found.code[6:-1]
        match variable:
            case "input":
                return Python(f"{name} in given", "bool", level=4)
            case "old":
                return Python(f"old is not None and old.{name} is not None", "bool", level=2)
            case _:
                return Python(f"{found.code} is not None", "bool", level=4)

    def _method(self, on: Python, name: str, *, called: bool = False) -> Python:
        arguments: Sequence[Python] = ()
        if not called:
            self._must("(")
            arguments = self._arguments()
        if name in _DATE_PARTS and on.kind in ("date", "datetime") and not arguments:
            template, minus = _DATE_PARTS[name]
            code = template.format(on.at(8)) + minus
            return Python(code, "number", fails=on.fails, level=5 if minus else 9)
        if name == "size" and not arguments:
            return self._of(on, "len({})", "number", ("text", "list"))
        if name in ("int", "double") and called:
            template = "int({})" if name == "int" else "Decimal({})"
            return self._of(on, template, "number", ("number", "text"), fails=True)
        if name == "string" and called:
            return self._of(on, "str({})", "text", ("number", "text", "uuid", "date"))
        if name == "timestamp" and called:
            return self._timestamp(on)
        return self._text_method(on, name, arguments)

    def _text_method(self, on: Python, name: str, arguments: Sequence[Python]) -> Python:
        if len(arguments) != 1:
            raise self._error(f"{name}() has no translation here")
        on, argument = self._as_text(on), arguments[0]
        self._want(argument, "text")
        fails = on.fails or argument.fails
        if name in _STRING_METHODS:
            code = f"{on.at(8)}.{_STRING_METHODS[name]}({argument.code})"
            return Python(code, "bool", fails=fails)
        if name == "contains":
            return Python(f"{argument.at(5)} in {on.at(5)}", "bool", fails=fails, level=4)
        if name == "matches":
            self._pattern(argument)
            code = f"re.search({argument.code}, {on.code}) is not None"
            return Python(code, "bool", fails=fails, level=4)
        raise self._error(f"{name}() has no translation here")

    def _pattern(self, argument: Python) -> None:
        if argument.text is None:
            raise self._error("matches() needs a pattern written as text")
        try:
            re.compile(argument.text)
        except re.error as error:
            raise self._error(f"{argument.text!r} is not a pattern: {error}") from None

    def _timestamp(self, on: Python) -> Python:
        if on.kind == "datetime":
            return on
        if on.text is not None:
            return self._literal_as(on, "datetime")
        raise self._error("timestamp() takes a datetime field or a text")

    def _arguments(self) -> list[Python]:
        found: list[Python] = []
        while not self._sign(")"):
            found.append(self._ternary())
            if not self._sign(","):
                self._must(")")
                break
        return found

    def _as_text(self, found: Python) -> Python:
        if found.kind in ("date", "datetime"):
            return Python(f"{found.at(8)}.isoformat()", "text", fails=found.fails)
        self._want(found, "text")
        return found

    def _of(
        self, on: Python, template: str, kind: str, kinds: Sequence[str], *, fails: bool = False
    ) -> Python:
        if on.kind.partition(":")[0] not in kinds:
            raise self._error(f"{template.format('...')} does not take {on.kind}")
        return Python(template.format(on.code), kind, fails=on.fails or fails)

    def _want(self, found: Python, kind: str) -> None:
        if found.kind != kind:
            raise self._error(f"{found.code} is {found.kind}, expected {kind}")


def _key(*operands: Python) -> bool:
    """Equality fails only where the operand itself cannot be read or was computed."""
    return any(operand.fails and operand.level != 9 for operand in operands)


def quoted(text: str) -> str:
    """Return the text as a Python literal, in double quotes where that needs no more escapes."""
    found = repr(text)
    return f'"{found[1:-1]}"' if found[0] == "'" and '"' not in text else found


def _unquoted(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        return _ESCAPES.get(match[1], match[0])

    return re.sub(r"\\(.)", plain, text[1:-1])
