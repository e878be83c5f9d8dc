"""Rules as Python mean what they mean in CEL, and nothing that is not a rule becomes code."""

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from infra.generator.cel import CelUnsupported, translate
from infra.service_kit import rules
from infra.spec_cel import judge

FIELDS = {
    "amount": "decimal!",
    "discount": "decimal",
    "count": "int!",
    "spare": "int",
    "name": "text!",
    "note": "text",
    "state": "enum!",
    "due": "date!",
    "at": "datetime!",
    "open": "bool!",
    "owner": "ref:person",
}
SCOPE = {"record": FIELDS, "old": FIELDS, "input": FIELDS}
ID = "00000000-0000-4000-8000-000000000001"
RECORD: dict[str, Any] = {
    "amount": Decimal("10.5"),
    "discount": None,
    "count": 7,
    "spare": None,
    "name": "Ada",
    "note": None,
    "state": "open",
    "due": date(2030, 1, 2),
    "at": datetime(2030, 1, 2, 9, tzinfo=UTC),
    "open": True,
    "owner": UUID(ID),
}

SAME_AS_CEL = [
    "record.amount > 10.0",
    "record.amount < 10.0 || record.count >= 7",
    "record.discount == null",
    "record.discount != null && record.discount > 1.0",
    "record.discount > 1.0 || record.count == 7",
    "record.discount > 1.0 || record.count == 8",
    "record.discount > 1.0 && record.count == 8",
    "record.discount > 1.0 && record.spare > 1",
    "record.spare > 1 || record.discount > 1.0 || record.open",
    "!record.open",
    "!(record.spare > 1)",
    "record.open ? record.count > 1 : record.spare > 1",
    "record.name == 'Ada' && record.note == null",
    "record.note == 'x'",
    "record.note != 'x'",
    "size(record.name) == 3 && record.name.size() < 4",
    "size(record.note) > 0",
    "record.name.startsWith('A') && record.name.endsWith('a') && record.name.contains('d')",
    "record.name.matches('^[A-Z]')",
    "record.name + '!' == 'Ada!'",
    "record.state in ['open', 'closed']",
    "record.state in []",
    "record.due >= '2030-01-01' && record.due < '2030-01-03'",
    "record.due == '2030-01-02'",
    "old == null || old.amount < record.amount",
    "old.amount < record.amount",
    "old != null",
    "has(input.count) && input.count > 1",
    "has(input.note)",
    "input.note == 'x'",
    "'count' in input",
    "record.count / 2 == 3 && -record.count / 2 == -3 && record.count % 4 == 3",
    "record.count / 0 == 1",
    "record.count * 2 - 1 == 13",
    "record.count - (1 - 2) == 8",
    f"record.owner == '{ID}'",
    "int('7') == record.count",
    "string(record.count) == '7'",
]


def cel_value(value: Any) -> Any:
    match value:
        case Decimal():
            return float(value)
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value


def in_python(text: str, old: dict[str, Any] | None, given: dict[str, Any]) -> bool:
    code = translate(text, SCOPE).code
    helpers = {name: getattr(rules, name) for name in ("either", "both", "quotient", "remainder")}
    names = {"Decimal": Decimal, "date": date, "datetime": datetime, "UUID": UUID, "UTC": UTC}
    names["re"] = __import__("re")
    record = SimpleNamespace(**RECORD)
    before = None if old is None else SimpleNamespace(**old)
    variables = {"record": record, "old": before, "given": given}
    return rules.holds(lambda: bool(eval(code, {**helpers, **names, **variables})))


@pytest.mark.parametrize("created", [True, False])
@pytest.mark.parametrize("text", SAME_AS_CEL)
def test_a_translated_rule_says_what_cel_says(text: str, created: bool) -> None:
    old = None if created else {**RECORD, "amount": Decimal("9.5")}
    given = {"count": 7}
    bindings = {
        "record": {name: cel_value(value) for name, value in RECORD.items()},
        "old": None if old is None else {name: cel_value(value) for name, value in old.items()},
        "input": given,
    }
    assert in_python(text, old, given) is (judge(text, bindings) is True)


def test_decimals_are_exact_where_doubles_are_not() -> None:
    code = translate("record.amount == record.discount + 0.1", SCOPE).code
    record = SimpleNamespace(amount=Decimal("0.3"), discount=Decimal("0.2"))
    assert eval(code, {"record": record, "Decimal": Decimal})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("record.nope > 1", "no field 'nope'"),
        ("record.amount", "not a condition"),
        ("record.amount == 'x'", "number is compared with text"),
        ("record.amount +", "ends too early"),
        ("record.amount > 1)", "unexpected ')'"),
        ("__import__('os').system('x') == 0", "unknown name"),
        ("record.__class__ == null", "no field"),
        ("record.name.format('x') == ''", "no translation"),
        ("record.name.matches('(') ", "not a pattern"),
        ("record.due > 'soon'", "not a date"),
        ("record.at > '2030-01-01T00:00:00'", "no time zone"),
        ("record.owner < record.owner", "no order"),
        ("record.count > 1 && record.name", "expected bool"),
        ("record.name.filter(x, x == 'a') == ''", "unknown name"),
        ("record", "name a field"),
        ("1 in 2", "needs a list"),
        ("[1, 'a'] == []", "unlike"),
        ("(" * 60 + "true" + ")" * 60, "nested too deeply"),
        ("`x` == 1", "cannot read"),
        ("record.open; import os", "cannot read"),
    ],
)
def test_what_cannot_be_translated_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(CelUnsupported) as refused:
        translate(text, SCOPE)
    assert why in str(refused.value)
