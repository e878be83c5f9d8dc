"""Where a generated service keeps its data when Phoenix runs it."""

import os
from pathlib import Path
from urllib.parse import quote

import orjson

from infra.ports import Context

MODULE = "infra.eventsourcing_jetstream"


def instance_dir(ctx: Context) -> Path:
    """The directory of this instance's own files, beside the platform's views."""
    return Path(ctx.data_dir) / "views" / ctx.service / ctx.instance


def persistence(ctx: Context) -> dict[str, str]:
    """The settings of the ``eventsourcing`` library for this system's NATS.

    What the environment already says (``PERSISTENCE_MODULE``, ``NATS_URL``, ...) goes first.
    """
    settings = ctx.settings
    env = {
        "PERSISTENCE_MODULE": MODULE,
        "NATS_URL": settings.nats_url or _embedded(settings.data_dir, settings.nats_port),
        "NATS_REPLICAS": str(settings.replicas),
    }
    if settings.nats_creds:
        env["NATS_CREDS"] = str(settings.nats_creds)
    return {name: os.environ.get(name) or value for name, value in env.items()}


def _embedded(data_dir: Path, port: int) -> str:
    """The address of the embedded server, signed in with what generated services may do."""
    file = Path(data_dir) / "nats" / "credentials.json"
    try:
        password = str(orjson.loads(file.read_bytes())["app"])
    except (FileNotFoundError, KeyError):
        return f"nats://127.0.0.1:{port}"
    return f"nats://app:{quote(password, safe='')}@127.0.0.1:{port}"
