"""``phoenix approvals | approve | reject | override | mode | policy | delegation``."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from pydantic import ValidationError

from domain.policy import Bundle
from phoenix.cli.client import Client, Refused
from phoenix.cli.files import read_json
from phoenix.cli.output import AsJson, moment, out, pairs, show, table

policy = typer.Typer(help="The rules that decide, as versioned documents.", no_args_is_help=True)
delegation = typer.Typer(help="Who answers in an approver's place.", no_args_is_help=True)

DASHBOARD = "approval-dashboard"
GOVERNANCE = "governance"
_PENDING = {
    "approval_id": "approval",
    "service_name": "service",
    "tier": "tier",
    "risk_level": "risk",
    "alignment_score": "score",
    "summary": "what",
    "expires_at": "expires",
}
_POLICY = {
    "policy_id": "policy",
    "version": "version",
    "priority": "priority",
    "outcome": "outcome",
    "conditions": "conditions",
    "signature": "signature",
}
_COUNTS = {"was": "was", "would_be": "would be", "decisions": "decisions"}
_CHANGES = {
    "service_name": "service",
    "intent_id": "intent",
    "was": "was",
    "would_be": "would be",
    "reasoning": "why",
}
_DELEGATION = {
    "delegate": "answers",
    "approver": "in place of",
    "until": "until",
    "reason": "why",
}
ApprovalId = Annotated[str, typer.Argument(help="The approval's or the intent's id.")]


def approvals(as_json: AsJson = False) -> None:
    """List what waits for a person."""
    answer = Client().get(DASHBOARD, "/api/approvals/pending")
    show(
        answer,
        as_json=as_json,
        human=lambda: table(answer["items"], _PENDING, empty="Nothing waits for a person."),
    )


def approve(
    approval_id: ApprovalId,
    comment: Annotated[str, typer.Option(help="For the record.")] = "",
    digest: Annotated[str, typer.Option(help="Refuse unless exactly this is what was shown.")] = "",
    as_json: AsJson = False,
) -> None:
    """Approve what was asked; it goes on at once."""
    body = {"comment": comment} | ({"digest": digest} if digest else {})
    answer = Client().post(DASHBOARD, f"/api/approvals/{approval_id}/approve", body)
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def reject(
    approval_id: ApprovalId,
    reason: Annotated[str, typer.Option(help="Why; required.")],
    as_json: AsJson = False,
) -> None:
    """Reject what was asked, with a reason."""
    answer = Client().post(DASHBOARD, f"/api/approvals/{approval_id}/reject", {"reason": reason})
    show(answer, as_json=as_json, human=lambda: pairs(answer))


def override(
    intent_id: Annotated[str, typer.Argument(help="The intent's id.")],
    decision: Annotated[str, typer.Argument(help="auto_approve (it goes on) or blocked.")],
    reason: Annotated[str, typer.Option(help="Why; required.")],
    as_json: AsJson = False,
) -> None:
    """Decide differently; one that governance had ended is opened again by auto_approve."""
    body = {"intent_id": intent_id, "decision": decision, "reason": reason}
    answer = Client().post(GOVERNANCE, "/governance/override", body)
    shown = ("intent_id", "decision", "overridden_to", "standing", "position")
    show(answer, as_json=as_json, human=lambda: pairs({name: answer[name] for name in shown}))


def mode(
    name: Annotated[
        str | None, typer.Argument(help="supervised, autonomous or aggressive; omit to show.")
    ] = None,
    present: Annotated[
        bool | None,
        typer.Option("--present/--away", help="Whether somebody is there to be asked."),
    ] = None,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show or change how much the system decides on its own, and whether somebody is present."""
    client = Client()
    answer = client.get(GOVERNANCE, "/governance/mode")
    if name is not None or present is not None:
        body = {"mode": name or answer["mode"], "user_present": present, "reason": reason}
        answer = client.post(GOVERNANCE, "/governance/mode", body)
    show(answer, as_json=as_json, human=lambda: pairs(answer))


@policy.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the policies in force."""
    _show_policies(Client().get(GOVERNANCE, "/governance/policies"), as_json=as_json)


@policy.command(name="show")
def show_(policy_id: str, as_json: AsJson = False) -> None:
    """Show one policy."""
    found = [
        p
        for p in _policies(Client().get(GOVERNANCE, "/governance/policies"))
        if p["policy_id"] == policy_id
    ]
    if not found:
        raise Refused(f"no policy {policy_id}")
    show(found[0], as_json=as_json, human=lambda: pairs(found[0]))


@policy.command()
def adopt(
    file: Path,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Adopt the policy or bundle in FILE (JSON); types and its own tests are checked first."""
    content = read_json(file)
    body = content if "policies" in content else {"policies": [content]}
    answer = Client().post(GOVERNANCE, "/governance/policies", {**body, "reason": reason})
    _show_policies(answer, as_json=as_json)


@policy.command()
def retire(
    policy_id: str,
    reason: Annotated[str, typer.Option(help="Why; required.")],
    as_json: AsJson = False,
) -> None:
    """Take a policy out of force."""
    answer = Client().call(
        "DELETE", GOVERNANCE, f"/governance/policies/{policy_id}", params={"reason": reason}
    )
    _show_policies(answer, as_json=as_json)


@policy.command(name="test")
def try_(file: Path, as_json: AsJson = False) -> None:
    """Say how an intent in FILE (JSON) would be decided now, or run the tests that a bundle in FILE
    carries; records nothing."""
    content = read_json(file)
    if "policies" in content:
        _run_tests(content, as_json=as_json)
        return
    body = {"intent": content}
    answer = Client().post(GOVERNANCE, "/governance/check-alignment", body)

    def human() -> None:
        pairs({k: v for k, v in answer.items() if k not in ("evidence", "conditions")})
        columns = {"policy_id": "policy", "expression": "condition", "value": "holds"}
        out.print()
        table(answer["conditions"], columns, empty="No conditions.")

    show(answer, as_json=as_json, human=human)


def _run_tests(content: dict[str, Any], *, as_json: bool) -> None:
    """Raises: Refused: the bundle cannot be read."""
    from infra.cel import CelConditions

    try:
        bundle = Bundle.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Refused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    conditions = CelConditions(bundle)
    cases = [
        {
            "name": case.name,
            "wanted": case.decision,
            "found": conditions.outcome(case.mode, case.inputs).decision,
        }
        for case in bundle.tests
    ]
    wrong = [case for case in cases if case["found"] != case["wanted"]]
    columns = {"name": "test", "wanted": "wanted", "found": "found"}
    show(
        {"ok": not wrong, "tests": cases},
        as_json=as_json,
        human=lambda: table(cases, columns, empty="The bundle has no tests."),
    )
    if wrong:
        raise Refused(f"{len(wrong)} of {len(cases)} tests of the bundle do not come out")


@policy.command()
def simulate(file: Path, as_json: AsJson = False) -> None:
    """Try the bundle or policy in FILE (JSON) on all recorded decisions; records nothing."""
    content = read_json(file)
    body = content if "policies" in content else {"policies": [content]}
    body = {name: value for name, value in body.items() if name != "tests"}  # see policy test
    answer = Client().post(GOVERNANCE, "/governance/simulate", body)

    def human() -> None:
        out.print(f"{answer['changed']} of {answer['evaluated']} decisions would change.")
        table(answer["counts"], _COUNTS, empty="Nothing has been decided yet.")
        if answer["changes"]:
            table(answer["changes"], _CHANGES, empty="")

    show(answer, as_json=as_json, human=human)


@delegation.command(name="list")
def delegations(as_json: AsJson = False) -> None:
    """List who answers in whose place now, and until when."""
    _show_delegations(Client().get(GOVERNANCE, "/governance/delegations"), as_json=as_json)


@delegation.command()
def add(
    delegate: Annotated[str, typer.Argument(help="Who answers in your place.")],
    until: Annotated[str, typer.Option(help="2030-01-31T18:00, in UTC unless it names a zone.")],
    reason: Annotated[str, typer.Option(help="Why; required.")],
    as_json: AsJson = False,
) -> None:
    """Let somebody answer in your place until a moment, at most 30 days ahead."""
    ends = moment(until, "--until").isoformat()
    body = {"delegate": delegate, "until": ends, "reason": reason}
    answer = Client().post(GOVERNANCE, "/governance/delegations", body)
    _show_delegations(answer, as_json=as_json)


@delegation.command()
def end(
    approver: Annotated[str, typer.Argument(help="In whose place.")],
    delegate: Annotated[str, typer.Argument(help="Who answers.")],
    as_json: AsJson = False,
) -> None:
    """End a delegation before its time."""
    path = f"/governance/delegations/{quote(approver, safe='')}/{quote(delegate, safe='')}"
    _show_delegations(Client().call("DELETE", GOVERNANCE, path), as_json=as_json)


def _show_delegations(answer: Any, *, as_json: bool) -> None:
    show(
        answer,
        as_json=as_json,
        human=lambda: table(
            answer["items"], _DELEGATION, empty="Nobody answers in anybody's place."
        ),
    )


def _show_policies(answer: Any, *, as_json: bool) -> None:
    rows = _policies(answer)
    show(answer, as_json=as_json, human=lambda: table(rows, _POLICY, empty="No policies."))


def _policies(answer: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = answer.get("items") or answer.get("policies") or []
    vouched = answer.get("signatures", {})
    return [{**row, "signature": _vouched(vouched.get(row["policy_id"], {}))} for row in rows]


def _vouched(signature: dict[str, Any]) -> str:
    return "holds" if signature.get("verified") else str(signature.get("why", ""))
