"""What users rely on is written down: events, services, settings, commands, documents."""

import re
from pathlib import Path

import pytest

from domain.catalog import EVENT_TYPES
from infra.settings import BASE_PORTS, Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EVENTS = (ROOT / "docs" / "events.md").read_text()
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("full_type", sorted(EVENT_TYPES))
def test_every_event_is_explained(full_type: str) -> None:
    if EVENT_TYPES[full_type].__module__.startswith("tests."):
        pytest.skip("an event of another test")
    name = full_type.split(".")[2]
    assert re.search(rf"\b{name}\b", EVENTS), f"docs/events.md does not name {name}"


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_in_the_readme(field: str) -> None:
    name = "ANTHROPIC_API_KEY" if field == "anthropic_api_key" else f"PHOENIX_{field.upper()}"
    assert f"`{name}`" in README, f"README.md does not name {name}"


@pytest.mark.parametrize("service", sorted(BASE_PORTS))
def test_every_service_is_in_the_readme_with_its_port(service: str) -> None:
    assert f"| {service} | {BASE_PORTS[service]} |" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
