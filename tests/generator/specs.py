"""SPECs that differ in what they use: money and reports, states and references, all types, custom
handlers."""

from typing import Any

from domain.spec.model import Spec, read_spec

REVENUE: dict[str, Any] = {
    "service_name": "revenue-analytics",
    "title": "Revenue analytics",
    "purpose": "Records revenues and reports them by month, so that finance sees trends early.",
    "key_features": ["record revenues", "monthly report"],
    "records": [
        {
            "name": "revenue",
            "description": "Money that came in, booked on a day.",
            "fields": [
                {"name": "customer", "type": "text", "required": True, "max_length": 120},
                {"name": "amount", "type": "decimal", "required": True, "min": "0.01"},
                {"name": "booked_on", "type": "date", "required": True},
                {
                    "name": "channel",
                    "type": "enum",
                    "values": ["web", "shop", "partner"],
                    "default": "web",
                },
                {"name": "note", "type": "text"},
            ],
        }
    ],
    "rules": [
        {
            "name": "large-amounts-need-a-note",
            "record": "revenue",
            "on": ["create", "update"],
            "check": "record.amount < 100000 || (record.note != null && size(record.note) > 0)",
            "message": "an amount of 100000 or more needs a note",
        }
    ],
    "reports": [
        {
            "name": "revenue_by_month",
            "record": "revenue",
            "measure": "sum",
            "field": "amount",
            "group_by": ["month(booked_on)"],
        },
        {"name": "average", "record": "revenue", "measure": "avg", "field": "amount"},
        {
            "name": "web-revenue",
            "record": "revenue",
            "measure": "sum",
            "field": "amount",
            "group_by": ["channel", "year(booked_on)"],
            "where": "record.channel == 'web' && record.amount >= 1",
        },
    ],
    "scenarios": [
        {
            "name": "revenues of a month add up exactly",
            "steps": [
                {
                    "call": "POST /revenues",
                    "body": {"customer": "Ada", "amount": "0.10", "booked_on": "2026-01-05"},
                    "expect": {"status": 201, "body": {"amount": "0.10", "channel": "web"}},
                },
                {
                    "call": "POST /revenues",
                    "body": {"customer": "Bob", "amount": "0.20", "booked_on": "2026-01-31"},
                    "expect": {"status": 201},
                },
                {
                    "call": "GET /reports/revenue_by_month",
                    "expect": {
                        "status": 200,
                        "body": {"rows": [{"month": "2026-01", "value": "0.30"}]},
                    },
                },
            ],
        }
    ],
}

TICKETS: dict[str, Any] = {
    "service_name": "ticket-desk",
    "purpose": "Takes tickets of customers, assigns them to agents and follows them to their end.",
    "dependencies": ["registry"],
    "records": [
        {
            "name": "customer",
            "fields": [
                {"name": "name", "type": "text", "required": True},
                {"name": "email", "type": "email", "required": True, "unique": True},
            ],
        },
        {
            "name": "ticket",
            "description": 'Something a customer needs; \\ """ must not end a docstring.',
            "fields": [
                {"name": "title", "type": "text", "required": True, "max_length": 80},
                {"name": "customer", "type": "ref:customer", "required": True},
                {"name": "urgency", "type": "int", "min": 1, "max": 5, "default": 3},
                {"name": "agent", "type": "text"},
                {"name": "due", "type": "date"},
                {"name": "date", "type": "date"},
                {"name": "datetime", "type": "datetime", "min": "2000-01-01T00:00:00+01:00"},
                {"name": "last", "type": "date", "min": "2000-01-01", "default": "2030-01-01"},
                {"name": "timestamp", "type": "datetime"},
                {"name": "data", "type": "text"},
            ],
            "states": {
                "initial": "open",
                "transitions": [
                    {"command": "assign", "from": ["open"], "to": "assigned", "fields": ["agent"]},
                    {"command": "mark_done", "from": ["assigned"], "to": "done"},
                    {"command": "reopen", "from": ["done", "assigned"], "to": "open"},
                    {"command": "cancel", "from": "open", "to": "cancelled"},
                ],
            },
        },
        {
            "name": "comment",
            "fields": [
                {"name": "ticket", "type": "ref:ticket", "required": True},
                {"name": "text", "type": "text", "required": True},
            ],
        },
    ],
    "rules": [
        {
            "name": "urgent-is-not-cancelled",
            "record": "ticket",
            "on": ["cancel"],
            "check": "record.urgency < 5",
            "message": "a ticket of urgency 5 cannot be cancelled",
        },
        {
            "name": "only-ended-go",
            "record": "ticket",
            "on": "delete",
            "check": "old.state in ['done', 'cancelled']",
            "message": "only tickets that have ended can be deleted",
        },
        {
            "name": "due-moves-on",
            "record": "ticket",
            "on": "update",
            "check": "old.due == null || record.due == null || record.due >= old.due",
            "message": "a due day only moves on",
        },
        {
            "name": "agents-have-names",
            "record": "ticket",
            "on": "assign",
            "check": "input.agent.startsWith('agent-') && old.agent != record.agent",
            "message": "an agent is called agent-...",
        },
    ],
    "reports": [
        {"name": "by-state", "record": "ticket", "measure": "count", "group_by": ["state"]},
        {
            "name": "latest",
            "record": "ticket",
            "measure": "max",
            "field": "due",
            "where": "record.urgency > 2",
        },
    ],
    "scenarios": [
        {
            "name": "a ticket's life",
            "steps": [
                {
                    "call": "POST /customers",
                    "body": {"name": "Ada", "email": "ada@example.org"},
                    "expect": {"status": 201},
                },
                {
                    "call": "POST /tickets",
                    "body": {"title": "Printer on fire", "customer": "$id"},
                    "expect": {"status": 201, "body": {"state": "open", "urgency": 3}},
                },
                {"call": "POST /tickets/$id/mark_done", "expect": {"status": 409}},
                {
                    "call": "POST /tickets/$id/assign",
                    "body": {"agent": "agent-7"},
                    "expect": {"status": 200, "body": {"state": "assigned", "agent": "agent-7"}},
                },
                {"call": "POST /tickets/$id/mark_done", "expect": {"status": 200}},
                {
                    "call": "GET /tickets?customer=$id.customer&state=done",
                    "expect": {"status": 200, "body": {"total": 1}},
                },
                {"call": "DELETE /tickets/$id", "expect": {"status": 204}},
            ],
        }
    ],
}

INVENTORY: dict[str, Any] = {
    "service_name": "inventory",
    "purpose": "Keeps the stock of a shop: every item once, counted and priced, nothing twice.",
    "records": [
        {
            "name": "item",
            "fields": [
                {"name": "sku", "type": "text", "required": True, "unique": True, "max_length": 20},
                {"name": "count", "type": "int", "required": True, "min": 0, "max": 1000},
                {"name": "price", "type": "decimal", "min": "0", "max": "9999.99"},
                {"name": "fragile", "type": "bool", "default": False},
                {"name": "made_on", "type": "date", "min": "2000-01-01", "max": "2099-12-31"},
                {"name": "checked_at", "type": "datetime", "min": "2000-01-01T00:00:00Z"},
                {"name": "contact", "type": "email", "unique": True},
                {"name": "size", "type": "enum", "values": ["S", "M", "extra-large"]},
                {"name": "batch", "type": "uuid"},
                {"name": "parent", "type": "ref:item"},
                {"name": "weight", "type": "decimal", "unique": True},
            ],
        },
        {
            "name": "decimal",
            "plural": "decimals",
            "fields": [{"name": "class_name", "type": "text", "required": True}],
        },
    ],
    "reports": [
        {"name": "stock", "record": "item", "measure": "sum", "field": "count"},
        {"name": "cheapest", "record": "item", "measure": "min", "field": "price"},
        {"name": "by_kind", "record": "item", "measure": "count", "group_by": ["fragile", "size"]},
    ],
}


MEMBERS: dict[str, Any] = {
    "service_name": "member-desk",
    "purpose": "Keeps the members of a club and what they pay, and forgets who asks for it.",
    "records": [
        {
            "name": "member",
            "fields": [
                {"name": "name", "type": "text", "required": True, "personal": True},
                {
                    "name": "email",
                    "type": "email",
                    "required": True,
                    "unique": True,
                    "personal": True,
                },
                {"name": "born", "type": "date", "personal": True},
                {"name": "fee", "type": "decimal", "required": True},
            ],
            "states": {
                "initial": "new",
                "transitions": [
                    {"command": "admit", "from": ["new"], "to": "full", "fields": ["born"]}
                ],
            },
        }
    ],
    "reports": [{"name": "fees", "record": "member", "measure": "sum", "field": "fee"}],
}


# No field has a bound: there is nothing between two values, or beyond one.
SWITCHES: dict[str, Any] = {
    "service_name": "light-switches",
    "purpose": "Which lights of the house are on.",
    "records": [
        {
            "name": "light",
            "fields": [
                {"name": "room", "type": "enum", "values": ["hall", "attic"], "required": True},
                {"name": "lit", "type": "bool"},
            ],
        }
    ],
    "scenarios": [
        {
            "name": "A light is on",
            "steps": [
                {
                    "call": "POST /lights",
                    "body": {"room": "hall", "lit": True},
                    "expect": {"status": 201, "body": {"lit": True}},
                }
            ],
        }
    ],
}


def revenue() -> Spec:
    return read_spec(REVENUE)


def tickets() -> Spec:
    return read_spec(TICKETS)


def inventory() -> Spec:
    return read_spec(INVENTORY)


LATE_FEE = """
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

RATE = Decimal("0.05")


def late_fee(record: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    # ## not a heading
    amount, days = record["amount"], record["days_late"]
    if amount is None or days is None:
        return {}
    return {"fee": (amount * RATE * days).quantize(Decimal("0.01"), ROUND_HALF_UP)}
"""
INVOICES: dict[str, Any] = {
    "service_name": "invoice-desk",
    "purpose": "Keeps invoices and works out what is due when they are late.",
    "records": [
        {
            "name": "invoice",
            "fields": [
                {"name": "amount", "type": "decimal", "required": True, "min": "0", "max": "9999"},
                {"name": "days_late", "type": "int", "min": 0, "max": 1000},
                {"name": "fee", "type": "decimal", "min": "0", "max": "1000"},
            ],
            "states": {
                "initial": "open",
                "transitions": [
                    {"command": "close", "from": "open", "to": "closed"},
                    {"command": "reopen", "from": "closed", "to": "open", "fields": ["days_late"]},
                ],
            },
        }
    ],
    "rules": [
        {
            "name": "fees-stay-small",
            "record": "invoice",
            "on": ["create", "update", "close", "reopen"],
            "check": "record.fee == null || record.fee <= record.amount",
            "message": "a fee is never more than the amount",
        }
    ],
    "custom": [
        {
            "name": "late_fee",
            "record": "invoice",
            "on": ["create", "update", "close", "reopen"],
            "does": "The fee is 5 % of the amount for each day late.",
            "sets": ["fee"],
            "code": LATE_FEE,
            "examples": [
                {"record": {"amount": "100", "days_late": 2}, "expect": {"fee": "10.00"}},
                {"record": {"amount": "100"}, "expect": {}},
                {
                    "record": {"amount": "100", "days_late": 2},
                    "given": {"fee": "3"},
                    "expect": {"fee": "10"},
                },
            ],
            "model": "model-x",
            "prompt_digest": "a" * 64,
        }
    ],
    "scenarios": [
        {
            "name": "a late invoice costs more",
            "steps": [
                {
                    "call": "POST /invoices",
                    "body": {"amount": "100", "days_late": 2},
                    "expect": {"status": 201, "body": {"fee": "10.00", "state": "open"}},
                },
                {
                    "call": "PATCH /invoices/$id",
                    "body": {"days_late": 3},
                    "expect": {"status": 200, "body": {"fee": "15.00"}},
                },
                {
                    "call": "PATCH /invoices/$id",
                    "body": {"fee": "1"},
                    "expect": {"status": 200, "body": {"fee": "1"}},
                },
                {
                    "call": "POST /invoices/$id/close",
                    "expect": {"status": 200, "body": {"fee": "15.00", "state": "closed"}},
                },
                {
                    "call": "POST /invoices/$id/reopen",
                    "body": {"days_late": 4},
                    "expect": {"status": 200, "body": {"fee": "20.00", "days_late": 4}},
                },
                {
                    "call": "PATCH /invoices/$id",
                    "body": {"days_late": 21},
                    "expect": {"status": 409},
                },
            ],
        },
        {
            "name": "what is handled never leaves its bounds",
            "steps": [
                {
                    "call": "POST /invoices",
                    "body": {"amount": "9999", "days_late": 1000},
                    "expect": {"status": 409},
                }
            ],
        },
    ],
}


def invoices() -> Spec:
    return read_spec(INVOICES)


def members() -> Spec:
    return read_spec(MEMBERS)


def switches() -> Spec:
    return read_spec(SWITCHES)


ALL = {
    "revenue": revenue,
    "tickets": tickets,
    "inventory": inventory,
    "invoices": invoices,
    "members": members,
    "switches": switches,
}
