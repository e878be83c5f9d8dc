"""Custom handlers: functions that a model wrote, and what such code may consist of.

Purpose     what no part of a SPEC can say: a field's value worked out from the others.
Interface   ``def <name>(record, given)``: the record as it would be after the step, and the body of
            the request, both read only; returns values for the fields in ``sets``, nothing else.
Cut down    the language itself, whatever runs it: only the syntax, names, attributes and imports
            listed here. No loop without an end, no attribute that leads out of a value, no clock,
            no chance: the same input gives the same output.
"""

import ast
from collections.abc import Iterator, Mapping

from domain.spec import words

CODE_CHARS_MAX = 4000
IMPORTS: Mapping[str, frozenset[str]] = {
    "collections.abc": frozenset(("Mapping",)),
    "datetime": frozenset(("UTC", "date", "datetime", "timedelta")),
    "decimal": frozenset(
        ("Decimal", "ROUND_CEILING", "ROUND_DOWN", "ROUND_FLOOR", "ROUND_HALF_EVEN")
    )
    | {"ROUND_HALF_UP", "ROUND_UP"},
    "math": frozenset(("ceil", "floor", "gcd", "isqrt", "prod")),
    "typing": frozenset(("Any",)),
}
BUILTINS = words.bag("""
    abs all any bool dict divmod enumerate filter int len list map max min range reversed round set
    sorted str sum tuple zip
""")
# Of mappings, lists and sets; of text; of numbers, dates and moments.
ATTRIBUTES = words.bag("""
    get items keys values append extend add index count

    casefold capitalize endswith find isalnum isalpha isdigit isspace join lower lstrip partition
    removeprefix removesuffix replace rpartition rsplit rstrip split splitlines startswith strip
    title upper

    quantize is_zero as_integer_ratio year month day hour minute second days seconds weekday
    isoweekday isoformat date total_seconds fromisoformat
""")
SYNTAX: tuple[type[ast.AST], ...] = (
    ast.Module, ast.ImportFrom, ast.alias, ast.FunctionDef, ast.arguments, ast.arg, ast.Return,
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.If, ast.Expr, ast.Pass, ast.Break,
    ast.Continue, ast.Constant, ast.Name, ast.Load, ast.Store, ast.Attribute, ast.Subscript,
    ast.Slice, ast.Call, ast.keyword, ast.Starred, ast.IfExp, ast.Compare, ast.BoolOp, ast.BinOp,
    ast.UnaryOp, ast.boolop, ast.cmpop, ast.unaryop, ast.Add, ast.Sub, ast.Mult, ast.Div,
    ast.FloorDiv, ast.Mod, ast.BitOr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp,
    ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.JoinedStr,
    ast.FormattedValue,
)  # fmt: skip


def code_problems(name: str, code: str) -> tuple[str, ...]:
    """What keeps this code from being the handler ``name``; empty when nothing does."""
    if len(code) > CODE_CHARS_MAX:
        return (f"has {len(code)} characters, at most {CODE_CHARS_MAX} are allowed",)
    if not code.isascii():
        return ("has characters outside ASCII, which may look like others",)
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return (f"is not Python: {error}",)
    return tuple(dict.fromkeys((*_shape(name, tree), *_parts(tree))))


def _shape(name: str, tree: ast.Module) -> Iterator[str]:
    """A module of imports and functions, one of them the handler."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom | ast.FunctionDef | ast.Assign | ast.AnnAssign):
            yield f"line {node.lineno}: only imports, constants and functions stand at the top"
    handler = next((node for node in functions if node.name == name), None)
    if handler is None:
        yield f"defines no function {name}"
    elif [argument.arg for argument in handler.args.args] != ["record", "given"] or _more(handler):
        yield f"{name} must take (record, given)"
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {function.name for function in functions}
    for inner in ast.walk(tree):
        if isinstance(inner, ast.FunctionDef) and inner not in functions:
            yield f"line {inner.lineno}: a function inside a function is not allowed"
        if isinstance(inner, ast.Name) and inner.id in names and id(inner) not in called:
            yield f"line {inner.lineno}: {inner.id} can only be called"
    if around := _around(functions):
        yield f"{around} calls itself, directly or through others"


def _more(function: ast.FunctionDef) -> bool:
    given = function.args
    return bool(given.posonlyargs or given.vararg or given.kwonlyargs or given.kwarg)


def _around(functions: list[ast.FunctionDef]) -> str:
    """A function that can be reached from itself: it need not end. "" when there is none."""
    uses = {
        function.name: {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        for function in functions
    }
    for name in uses:
        reached: set[str] = set()
        todo = [name]
        while todo:
            found = (uses[todo.pop()] & uses.keys()) - reached
            reached |= found
            todo += found
        if name in reached:
            return name
    return ""


def _parts(tree: ast.Module) -> Iterator[str]:
    known = BUILTINS | _bound(tree)
    for node in ast.walk(tree):
        place = f"line {node.lineno}: " if hasattr(node, "lineno") else ""
        match node:
            case ast.ImportFrom(module=module, names=names, level=level):
                yield from (f"{place}{text}" for text in _imported(module, names, level))
            case ast.FunctionDef(decorator_list=[_, *_]):
                yield f"{place}decorators are not allowed"
            case ast.FunctionDef(name=name) | ast.Name(id=name) | ast.arg(arg=name) if (
                name.startswith("_")
            ):
                yield f"{place}{name}: no name may start with an underscore"
            case ast.Name(id=name, ctx=ast.Load()) if name not in known:
                yield f"{place}{name} is not allowed here"
            case ast.Name(id=name, ctx=ast.Store()) if name in BUILTINS:
                yield f"{place}{name} has a meaning already"
            case ast.Attribute(attr=name) if name not in ATTRIBUTES:
                yield f"{place}.{name} is not allowed"
            case ast.Constant(value=int() as value) if abs(value) > 10**12:
                yield f"{place}a number this large is not allowed"
            case _ if not isinstance(node, SYNTAX):
                yield f"{place}{type(node).__name__} is not allowed"


def _imported(module: str | None, names: list[ast.alias], level: int) -> Iterator[str]:
    allowed = IMPORTS.get(module or "", frozenset()) if level == 0 else frozenset()
    for alias in names:
        if alias.name not in allowed or alias.asname:
            yield f"from {module} import {alias.name} is not allowed"


def _bound(tree: ast.Module) -> set[str]:
    """Every name that the code itself gives a meaning."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name):
                names.add(name)
            case ast.ImportFrom(names=imported):
                names.update(alias.name for alias in imported)
    return names
