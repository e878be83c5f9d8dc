"""A nats-server in Docker by testcontainers, from ``NATS_IMAGE`` or an image made of our binary."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.nats.embedded import binary

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
IMAGE = "phoenix-test-nats:local"
PORT = 4222


def docker_missing() -> str:
    """Why the container tests cannot run; "" when they can."""
    if shutil.which("docker") is None:
        return "Docker is not installed"
    probe = subprocess.run(
        ["docker", "info"], capture_output=True, text=True, timeout=30, check=False
    )
    return "" if probe.returncode == 0 else "the Docker daemon does not answer"


def require_docker() -> None:
    """Skip with the reason where Docker is missing; with CI=true that is a failure."""
    if reason := docker_missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the container tests, and {reason}")
        pytest.skip(f"left out: {reason}")


@contextmanager
def nats_container(folder: Path) -> Iterator[str]:
    """The URL of a real server in a container, with JetStream."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    image = os.environ.get("NATS_IMAGE") or _build(folder)
    container = (
        DockerContainer(image)
        .with_exposed_ports(PORT)
        .with_command("--jetstream --store_dir /data --port 4222")
        .waiting_for(LogMessageWaitStrategy("Server is ready").with_startup_timeout(60))
    )
    with container:
        yield f"nats://127.0.0.1:{container.get_exposed_port(PORT)}"


def _build(folder: Path) -> str:
    """An image with the server's binary and nothing else."""
    context = folder / "image"
    context.mkdir(parents=True, exist_ok=True)
    shutil.copy2(Path(binary()).resolve(), context / "nats-server")
    (context / "Dockerfile").write_text(
        'FROM scratch\nCOPY nats-server /nats-server\nENTRYPOINT ["/nats-server"]\n'
    )
    subprocess.run(
        ["docker", "build", "-q", "-t", IMAGE, str(context)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return IMAGE
