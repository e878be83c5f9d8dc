"""Finding a service: by entry point, by reference, in an installed artifact."""

import sys
from pathlib import Path

import pytest

from phoenix.reference import UnknownService, load, names
from tests.phoenix import tiny


def test_the_six_built_in_services_are_known() -> None:
    assert len(names()) == 6
    assert "governance" in names()


def test_a_module_and_function_can_be_named() -> None:
    assert load("tests.phoenix.tiny:create") is tiny.create


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UnknownService, match="governance"):
        load("nonesuch")


def test_an_artifact_replaces_a_part_that_is_loaded_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import services
    import services.intent_queue.service as present

    package = tmp_path / "services" / "intent_queue"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "service.py").write_text(
        "class New:\n    version = '1'\n\n\ndef create(ctx):\n    return New()\n"
    )
    info = tmp_path / "intent_queue-2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: intent-queue\nVersion: 2\n")
    (info / "entry_points.txt").write_text(
        "[phoenix.services]\nintent-queue = services.intent_queue.service:create\n"
    )
    modules = dict(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(services, "__path__", list(services.__path__))
    try:
        made = load("intent-queue", str(tmp_path))(None)
        assert type(made).__name__ == "New"
        assert made.version == "2"  # the release's, not the source's
        assert load("governance") is not None  # the others stay where they were
    finally:
        for name in [name for name in sys.modules if name.startswith("services.intent_queue")]:
            del sys.modules[name]
        sys.modules.update(modules)
        services.intent_queue = sys.modules["services.intent_queue"]
    assert sys.modules["services.intent_queue.service"] is present
