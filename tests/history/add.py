"""Write a sample of every event type that has none yet: ``python -m tests.history.add``.

A sample is written once, when its version is new, and never changed: it stands for what real logs
hold. The values are drawn from the model, so every field is filled.
"""

import random
from typing import Any

import orjson
from polyfactory.factories.pydantic_factory import ModelFactory

from domain.event import Event
from infra.codec import encode, event_id
from infra.ports import Meta
from tests.history.samples import FILE, known, read

# Fields whose type says less than their meaning.
FREE: dict[str, Any] = {
    "document": {"service_name": "orders", "version": "1.0.0", "purpose": "Keeps customer orders."},
}


def sample(cls: type[Event], chance: random.Random) -> bytes:
    """The body of a stored event of this type."""
    factory = ModelFactory.create_factory(
        cls, __random__=chance, __randomize_collection_length__=True
    )
    fixed = {name: value for name, value in FREE.items() if name in cls.model_fields}
    event = cls.model_validate(factory.build(**fixed).model_dump())
    meta = Meta(
        command_id=cls.__name__, actor="history", correlation_id="intent-1", source="history"
    )
    return encode(event, id=event_id(meta.command_id, 0, event), meta=meta, epoch=1)


def main() -> None:
    present = {full_type for full_type, _, _ in read()}
    chance = random.Random(20260101)
    with FILE.open("ab") as file:
        for full_type, cls in sorted(known().items()):
            if full_type in present:
                continue
            body = sample(cls, chance)
            subject = f"events.{cls.context}.{orjson.loads(body)['subject']}"
            file.write(orjson.dumps({"subject": subject, "body": body.decode()}) + b"\n")


if __name__ == "__main__":
    main()
