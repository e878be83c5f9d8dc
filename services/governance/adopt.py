"""Adopting and retiring policies: checked first, then recorded, under the version of the bundle."""

from collections.abc import Callable, Sequence
from typing import Any

from domain.errors import Invalid, NotFound, TransientError
from domain.event import Event
from domain.governance_events import Policy, PolicyAdopted, PolicyRetired
from domain.policy import POLICIES_SUBJECT, Bundle, bundle_after
from infra.cel import CelConditions, check_policies
from infra.commands import Done, execute
from infra.ports import Context, Meta
from infra.vouching import vouched
from services.governance.models import Adoption

_NO_POLICY = Bundle(policies=())


async def adopt(ctx: Context, wanted: Adoption, *, by: str, meta: Meta) -> Done:
    """Record the policies; the version of each is one more than that of the one it replaces.

    Raises:
        Invalid: a condition does not compile, or a test of the bundle does not come out.
    """
    check_policies(wanted.policies)

    def _decide(bundle: Bundle) -> Sequence[PolicyAdopted]:
        events = []
        for policy in wanted.policies:
            numbered = _next_version(bundle, policy)
            if numbered in bundle.policies:
                continue
            bundle = bundle.with_policy(numbered)
            change = PolicyAdopted(
                at=ctx.clock.now(),
                policy=numbered,
                bundle_digest=bundle.digest,
                by=by,
                reason=wanted.reason,
            )
            events.append(vouched(change, ctx.data_dir))
        _run_tests(bundle, wanted)
        return events

    return await _execute(ctx, _decide, meta)


async def retire(ctx: Context, policy_id: str, *, by: str, reason: str, meta: Meta) -> Done:
    """Record that a policy is no longer in force.

    Raises:
        NotFound: it is not in force.
        Invalid: field ``reason``: none was given.
    """
    if not reason.strip():
        raise Invalid("reason", "must say why")

    def _decide(bundle: Bundle) -> Sequence[PolicyRetired]:
        if all(policy.policy_id != policy_id for policy in bundle.policies):
            raise NotFound(f"no policy {policy_id} in force")
        change = PolicyRetired(
            at=ctx.clock.now(),
            policy_id=policy_id,
            bundle_digest=bundle.without(policy_id).digest,
            by=by,
            reason=reason.strip(),
        )
        return (vouched(change, ctx.data_dir),)

    return await _execute(ctx, _decide, meta)


def _next_version(bundle: Bundle, policy: Policy) -> Policy:
    """The policy as the next version of the one it replaces; unchanged content is that one."""
    for current in bundle.policies:
        if current.policy_id == policy.policy_id:
            if current.model_copy(update={"version": policy.version}) == policy:
                return current
            return policy.model_copy(update={"version": current.version + 1})
    return policy


def _run_tests(bundle: Bundle, wanted: Adoption) -> None:
    tried = Bundle(policies=bundle.policies, tests=wanted.tests)
    failing = CelConditions(tried).failing_tests()
    if failing:
        raise Invalid("tests", "; ".join(failing))


def _evolve(bundle: Bundle | None, event: Any) -> Bundle:
    return bundle_after(bundle or _NO_POLICY, event)


async def _execute(ctx: Context, decide: Callable[[Bundle], Sequence[Event]], meta: Meta) -> Done:
    def _decide(bundle: Bundle | None) -> Sequence[Event]:
        if bundle is None:  # the first leader puts the shipped policies there, never a person
            raise TransientError("the shipped policies are not on the record yet")
        return decide(bundle)

    return await execute(
        ctx.log, POLICIES_SUBJECT, initial=None, evolve=_evolve, decide=_decide, meta=meta
    )
