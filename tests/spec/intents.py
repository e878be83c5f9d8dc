"""Intents for the tests: what people would write."""

from typing import Any

from domain.intent import Intent

REVENUE_FEATURES = ("Track revenues by source", "Monthly revenue report", "Total by customer")


def intent(
    name: str = "revenue-analytics",
    purpose: str = "Track revenues by source and report them by month",
    features: tuple[str, ...] = REVENUE_FEATURES,
    **more: Any,
) -> Intent:
    given = {
        "intent_id": "11111111-1111-4111-8111-111111111111",
        "service_name": name,
        "purpose": purpose,
        "key_features": features,
        "submitted_by": "ann",
        "source": "api",
        "service_type": "domain",
        "priority": "medium",
        "target_tier": 2,
    }
    return Intent.model_validate(given | more)


EXPENSES = intent(
    "expense-desk",
    "Employees submit expenses and managers approve them",
    (
        "Submit expenses with an amount, category (travel, meals, other) and a date",
        "Approve or reject expenses",
        "Monthly report by category",
    ),
)
TASKS = intent(
    "task-board",
    "Keep the tasks of one team in order, from the idea to the result",
    (
        "Create tasks with a title, optional description and a priority (low, medium, high)",
        "Mark tasks as done",
        "Number of tasks by status",
    ),
)
SHOP = intent(
    "shop",
    "Manage customers, products and orders of a small shop",
    (
        "Customer management",
        "Product catalog",
        "Order tracking by customer",
        "Cancel orders",
        "Average order value per customer",
    ),
)
VAGUE = intent("nothing", "Build me something nice to help our team", ("Real-time dashboard",))
ORDERS: dict[str, Any] = {
    "records": [
        {
            "name": "customer",
            "fields": [
                {"name": "name", "type": "text", "required": True, "max_length": 80},
                {"name": "email", "type": "email", "required": True, "unique": True},
            ],
        },
        {
            "name": "order",
            "fields": [
                {"name": "customer", "type": "ref:customer", "required": True},
                {"name": "total", "type": "decimal", "required": True, "min": "0.01"},
                {"name": "ordered_on", "type": "date", "required": True},
                {"name": "due_on", "type": "date"},
                {"name": "tracking", "type": "text", "max_length": 40},
            ],
            "states": {
                "initial": "draft",
                "transitions": [
                    {"command": "submit", "from": ["draft"], "to": "submitted"},
                    {
                        "command": "ship",
                        "from": ["submitted"],
                        "to": "shipped",
                        "fields": ["tracking"],
                    },
                    {"command": "cancel", "from": ["draft", "submitted"], "to": "cancelled"},
                ],
            },
        },
    ],
    "rules": [
        {
            "name": "due-after-ordered",
            "record": "order",
            "on": ["create", "update"],
            "check": "record.due_on == null || record.due_on > record.ordered_on",
            "message": "an order is due after the day it was ordered",
        }
    ],
    "reports": [
        {
            "name": "monthly-total",
            "record": "order",
            "measure": "sum",
            "field": "total",
            "group_by": ["month(ordered_on)", "state"],
        }
    ],
}
