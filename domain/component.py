"""The SPEC of a component (a part of this system): it has a source, so nothing is drafted.

It says which source was cleared (by digest), what it offers and which tests it must pass; it has no
records. The score asks what can be asked of it: is it described, tested, and is it all there?
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.canonical import digest
from domain.delivery_events import Finding, Score
from domain.intent import Intent

SCORER: Final = "component-1"
KIND: Final = "component"
_GRADES = ((90, "excellent"), (75, "good"), (60, "fair"), (0, "poor"))


def version_of(platform: str, earlier: Sequence[str]) -> str:
    """The next version of a component: ``<platform>+b1``, ``+b2``, ...; numbers never come back."""
    builds = [int(tail) for text in earlier if (tail := text.rpartition("+b")[2]).isdigit()]
    return f"{platform}+b{max(builds, default=0) + 1}"


def is_component(document: Mapping[str, Any]) -> bool:
    return document.get("kind") == KIND


def document_of(
    intent: Intent, *, version: str, source_digest: str, tests: Sequence[str], port: int
) -> dict[str, Any]:
    """Return the SPEC as it is stored."""
    return {
        "kind": KIND,
        "service_name": intent.service_name,
        "version": version,
        "purpose": intent.purpose,
        "key_features": list(intent.key_features),
        "port": port,
        "source_digest": source_digest,
        "tests": list(tests),
    }


def digest_of(document: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the document, as for any SPEC."""
    return digest(dict(document))


def score_of(document: Mapping[str, Any]) -> Score:
    """Return the score. An error (no tests, no source) stands in the way of a build."""
    findings = tuple(_findings(document))
    lost = {part: 0.0 for part in ("completeness", "clarity", "readiness")}
    for finding in findings:
        lost[finding.rule.partition(".")[0]] += finding.points
    left = {part: 100.0 - points for part, points in lost.items()}
    total = round(
        0.4 * left["completeness"] + 0.3 * left["clarity"] + 20 + 0.1 * left["readiness"], 1
    )
    return Score(
        total=total,
        completeness=left["completeness"],
        clarity=left["clarity"],
        udc=100,  # the instance host adds all five endpoints
        readiness=left["readiness"],
        grade=next(name for least, name in _GRADES if total >= least),
        scorer_version=SCORER,
        findings=findings,
    )


def render(document: Mapping[str, Any]) -> str:
    """Return it as Markdown."""
    features = [f"- {feature}" for feature in document["key_features"]] or ["- none named"]
    tests = [f"- `{path}`" for path in document["tests"]]
    return "\n".join(
        (
            f"# {document['service_name']} {document['version']}",
            "",
            "A component of this system, built from its own source.",
            "",
            "## Purpose",
            "",
            str(document["purpose"]),
            "",
            "## Core Capabilities",
            "",
            *features,
            "",
            "## Source",
            "",
            f"SHA-256 `{document['source_digest']}`, port {document['port']}",
            "",
            "## Tests",
            "",
            *tests,
            "",
        )
    )


def _findings(document: Mapping[str, Any]) -> list[Finding]:
    """``points`` are those of the part, out of 100."""
    features: Sequence[str] = document["key_features"]
    found: list[Finding] = []

    def lose(rule: str, place: str, points: float, message: str, fix: str, *, stop: bool) -> None:
        severity: Any = "error" if stop else "warning"
        found.append(
            Finding(
                rule=rule, place=place, severity=severity, message=message, fix=fix, points=points
            )
        )

    if not features:
        lose("completeness.features", "key_features", 40, "it offers nothing", "name them",
             stop=False)  # fmt: skip
    if not document["source_digest"]:
        lose("completeness.source", "source_digest", 60, "no source was found",
             "set PHOENIX_SOURCE to a source tree", stop=True)  # fmt: skip
    if not document["tests"]:
        lose("readiness.tests", "tests", 100, "no test runs without a network",
             "add one to its area under tests/", stop=True)  # fmt: skip
    short = [text for text in features if len(text.split()) < 3]
    for text in short:
        place = f"key_features[{list(features).index(text)}]"
        lose("clarity.short", place, 100 / len(features), f"{text!r} says little",
             "say what it does with what", stop=False)  # fmt: skip
    if len(set(features)) < len(features) and not short:
        lose("clarity.twice", "key_features", 20, "a feature is named twice", "name it once",
             stop=False)  # fmt: skip
    return found
