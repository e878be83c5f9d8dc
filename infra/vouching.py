"""Who vouches for a change of the policies: this installation's signature, made and checked."""

from typing import Any, TypeVar

from domain.governance_events import PolicyAdopted, PolicyRetired
from domain.policy import POLICIES_SUBJECT, signed
from infra.ports import EventLog
from infra.signing import Unverified, ensure_keys, key_id, public_key, sign, verify

PAYLOAD = "application/vnd.phoenix.policy+json"

Change = TypeVar("Change", PolicyAdopted, PolicyRetired)


def vouched(change: Change, data_dir: str) -> Change:
    """The change with this installation's Ed25519 signature over it, as a DSSE envelope."""
    envelope = sign(signed(change), ensure_keys(data_dir), payload_type=PAYLOAD)
    return change.model_copy(update={"signature": envelope.decode()})


def signature_of(change: PolicyAdopted | PolicyRetired, data_dir: str) -> dict[str, Any]:
    """Whether the recorded signature of a change holds, and by which key; else why not."""
    if not change.signature:
        return {"signed": False, "verified": False, "why": "it is not signed"}
    try:
        key = public_key(data_dir)
        found = verify(change.signature.encode(), key, payload_type=PAYLOAD)
    except Unverified as error:
        return {"signed": True, "verified": False, "why": str(error)}
    if found != signed(change):
        return {"signed": True, "verified": False, "why": "it signs another change"}
    return {"signed": True, "verified": True, "key_id": key_id(key)}


async def signatures(log: EventLog, data_dir: str) -> dict[str, dict[str, Any]]:
    """Of the newest change of each policy, by its id."""
    found: dict[str, dict[str, Any]] = {}
    for recorded in await log.read(POLICIES_SUBJECT):
        change = recorded.event
        match change:
            case PolicyAdopted():
                found[change.policy.policy_id] = signature_of(change, data_dir)
            case PolicyRetired():
                found[change.policy_id] = signature_of(change, data_dir)
    return found
