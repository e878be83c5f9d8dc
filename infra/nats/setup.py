"""The stream and the buckets of one system, created and brought up to date by the owner.

Services cannot change or delete them: the embedded server gives them no right to.
"""

from typing import Any

from nats.aio.client import Client

from infra.nats import api

EVENTS = "EVENTS"
LEASES = "PHOENIX_LEASES"
USERS = "PHOENIX_USERS"
ARTIFACTS = "PHOENIX_ARTIFACTS"

DUPLICATES_S = 600  # a repeat within this time is recognised by its message id alone


def events_config(replicas: int, name: str = EVENTS) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": ["intents.>", "events.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "num_replicas": replicas,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "duplicate_window": DUPLICATES_S * 1_000_000_000,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "allow_atomic": True,
    }


def bucket_config(bucket: str, replicas: int, *, history: int = 1) -> dict[str, Any]:
    return {
        "name": f"KV_{bucket}",
        "subjects": [f"$KV.{bucket}.>"],
        "storage": "file",
        "discard": "new",
        "num_replicas": replicas,
        "max_msgs_per_subject": history,
        "max_msgs": -1,
        "max_bytes": -1,
        "duplicate_window": 120 * 1_000_000_000,
        "deny_delete": True,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
    }


def objects_config(bucket: str, replicas: int) -> dict[str, Any]:
    return {
        "name": f"OBJ_{bucket}",
        "subjects": [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
        "storage": "file",
        "discard": "new",
        "num_replicas": replicas,
        "max_msgs": -1,
        "max_bytes": -1,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
    }


async def ensure(nc: Client, replicas: int = 1) -> None:
    """Create what is missing; raise the number of replicas of what is there.

    Raises:
        TransientError: the server does not answer.
        infra.nats.api.Refused: it refuses (no permission, too few servers for the replicas).
    """
    for config in (
        events_config(replicas),
        bucket_config(LEASES, replicas),
        bucket_config(USERS, replicas, history=8),
        objects_config(ARTIFACTS, replicas),
    ):
        await ensure_stream(nc, config)


async def ensure_stream(nc: Client, config: dict[str, Any]) -> None:
    """Create the stream, or change the settings that differ."""
    name = config["name"]
    try:
        present = (await api.call(nc, f"STREAM.INFO.{name}"))["config"]
    except api.Refused as error:
        if error.code != api.NO_SUCH_STREAM:
            raise
        await api.call(nc, f"STREAM.CREATE.{name}", config)
        return
    if any(present.get(key) != value for key, value in config.items()):
        await api.call(nc, f"STREAM.UPDATE.{name}", {**present, **config})
