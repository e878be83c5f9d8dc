"""The OpenAPI document shows what is asked and answered, and it is what is answered today."""

from typing import Any

from tests.governance.api_story import answers, shortened
from tests.governance.world import World


async def test_every_endpoint_shows_a_request_and_the_answer_it_gives(world: World) -> None:
    document = (await world.client.get("/schema/openapi.json")).json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        if path.startswith("/governance")
        for method, operation in methods.items()
    }
    given = await answers(world)
    assert given.keys() == operations.keys()
    for name, operation in operations.items():
        status, answer = given[name]
        content = operation["responses"][str(status)]["content"]["application/json"]
        (shown,) = content["examples"].values()
        assert shape(shown["value"]) == shape(shortened(answer)), name
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert example_of(document, schema), f"{name}: no example of its request"


def example_of(document: dict[str, Any], schema: dict[str, Any]) -> object:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema.get("examples") or schema.get("example")


def shape(value: Any) -> Any:
    """The names in it and where they stand; whatever has no parts counts as the same, and names
    without a value are left out (the document leaves them out, too)."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items() if item is not None}
    return [shape(item) for item in value] if isinstance(value, list) else "value"
