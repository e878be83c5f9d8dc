"""Ids that follow from a name: whoever works one out again comes to the same."""

import hashlib

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def name_id(namespace: bytes, name: str) -> str:
    """UUIDv5 of a name within a namespace (a UUID's 16 bytes), as text.

    As ``str(uuid.uuid5(...))`` gives it, in a third of the time.
    """
    digest = hashlib.sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    return (
        f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-"
        f"{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"
    )
