"""Backups: whole or not at all, and for nobody else's eyes."""

import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from phoenix.cli import run

Told = Callable[..., str]


@pytest.fixture
def phoenix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Told:
    """Runs a command on a data directory where no system runs; what it says of an error."""
    monkeypatch.setenv("PHOENIX_PORT_SHIFT", "39100")

    def told(command: str, file: Path, data_dir: str) -> str:
        monkeypatch.setenv("PHOENIX_DATA_DIR", str(tmp_path / data_dir))
        code = run([command, str(file)])
        said = capsys.readouterr().err
        assert (code == 1) == said.startswith("phoenix: "), said
        return said

    return told


@pytest.fixture
def saved(tmp_path: Path, phoenix: Told) -> Path:
    keys, log = tmp_path / "data" / "keys", tmp_path / "data" / "nats" / "store"
    log.mkdir(parents=True)
    (log / "1.blk").write_bytes(bytes(range(256)) * 200)
    keys.mkdir(mode=0o700)
    (keys / "log.ed25519").write_text("secret")
    (keys / "log.ed25519").chmod(0o600)
    (tmp_path / "data" / "views").mkdir()
    assert phoenix("backup", tmp_path / "b.tgz", "data") == ""
    return tmp_path / "b.tgz"


def _modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


def test_a_backup_comes_back_as_it_was_but_for_the_views(
    tmp_path: Path, saved: Path, phoenix: Told
) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert phoenix("restore", saved, "other") == ""
    wanted = _modes(tmp_path / "data")
    del wanted["views"]
    assert _modes(tmp_path / "other") == wanted
    assert wanted["keys"] == 0o700
    blocks = ("data/nats/store/1.blk", "other/nats/store/1.blk")
    assert len({(tmp_path / block).read_bytes() for block in blocks}) == 1


def test_nothing_is_written_over(tmp_path: Path, saved: Path, phoenix: Told) -> None:
    before = saved.read_bytes()
    assert "exists already" in phoenix("backup", saved, "data")
    assert saved.read_bytes() == before
    assert "is not empty" in phoenix("restore", saved, "data")
    assert (tmp_path / "data" / "views").is_dir()


def test_what_cannot_be_read_whole_leaves_nothing(
    tmp_path: Path, saved: Path, phoenix: Told
) -> None:
    half, other = tmp_path / "half.tgz", tmp_path / "other.tgz"
    half.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    with tarfile.open(other, "w:gz") as archive:
        archive.add(saved, arcname="something")
    for file, why in (
        (half, "ended before"),
        (other, "is no backup"),
        (tmp_path / "data" / "nats", "Is a directory"),
        (tmp_path / "none.tgz", "No such file"),
    ):
        assert why in phoenix("restore", file, "new")
    assert not list(tmp_path.glob("new*"))


def test_a_backup_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, saved: Path, phoenix: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No such file" in phoenix("backup", tmp_path / "none" / "b.tgz", "data")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "add", full)
    assert "No space left" in phoenix("backup", tmp_path / "full.tgz", "data")
    assert not (tmp_path / "full.tgz").exists()
