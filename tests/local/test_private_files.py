"""What the embedded AWS keeps on disk is its user's own, and no link leads it elsewhere."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from remotejob.cli.single_instance import lock_folder
from remotejob.local import private_files, server_process
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import LocalError, NotPrivate
from remotejob.worker.lifecycle.health import Health
from tests.local.hostile import House

HEALTH = Health(at_ms=1, running=0, waiting=0, problem=None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def others_may(folder: Path) -> list[Path]:
    """What other users may read, within a folder."""
    return [path for path in folder.rglob("*") if not path.is_symlink() and mode(path) & 0o077]


def test_all_that_a_running_one_keeps_is_private(house: House) -> None:
    house.aws.client("lambda").invoke(FunctionName="allowed")
    folders = [house.aws.state, house.aws.logs, house.aws.state / "functions"]

    assert [mode(folder) for folder in folders] == [0o700] * 3
    assert (house.aws.logs / "allowed.log").exists()
    assert others_may(house.aws.state) == []


def test_packed_assets_are_private(aws: EmbeddedAws) -> None:
    assert list((aws.state / "assets").glob("*.zip"))
    assert others_may(aws.state) == []


def test_no_secret_is_on_a_command_line(house: House) -> None:
    house.aws.client("lambda").invoke(FunctionName="allowed")
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        # it may have ended meanwhile
        with suppress(OSError):
            lines.append((process / "cmdline").read_bytes())
    secrets = [house.administrator.secret_key.encode()]

    assert any(server_process.MODULE.encode() in line for line in lines)
    assert not [line for line in lines for secret in secrets if secret in line]


def test_folder_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "logs").mkdir(parents=True)
    (state / "logs" / "server.log").write_text("old")
    for path in (state, state / "logs"):
        path.chmod(0o755)
    with EmbeddedAws(state=state):
        assert mode(state) == mode(state / "logs") == 0o700
        assert others_may(state) == []


@pytest.mark.parametrize(
    "planted", ["", "logs", "functions", "logs/server.log", "logs/server.stderr.log"]
)
def test_link_in_its_folder_is_not_followed(tmp_path: Path, planted: str) -> None:
    victim = tmp_path / "victim"
    if planted.endswith(".log"):
        victim.write_text("precious")
    else:
        victim.mkdir(mode=0o755)
    state = tmp_path / "state"
    link = state / planted if planted else state
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim)

    with (
        pytest.raises(LocalError, match=r"link|cannot be opened"),
        EmbeddedAws(state=state),
    ):
        pass

    if victim.is_dir():
        assert list(victim.iterdir()) == []
        assert mode(victim) == 0o755
    else:
        assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_log_that_is_no_file_of_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    log = tmp_path / "log"
    if kind == "link":
        log.symlink_to(victim)
    elif kind == "hard link":
        log.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(log)
    else:
        log.mkdir()

    with pytest.raises(NotPrivate, match="remove it"):
        private_files.open_log(log).close()

    assert victim.read_text() == "precious"
    assert mode(victim) == 0o644


def test_lock_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "local"
    folder.mkdir()
    (folder / "lock").symlink_to(victim)

    with pytest.raises(NotPrivate), lock_folder(folder):
        pass

    assert victim.read_text() == "precious"


def test_health_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file = tmp_path / "worker.health"
    (tmp_path / f"worker.health.{os.getpid()}").symlink_to(victim)

    with pytest.raises(OSError, match="symbolic link"):
        HEALTH.write(file)

    assert victim.read_text() == "precious"


def test_function_whose_name_is_a_path_has_a_log_in_its_folder(house: House) -> None:
    arn = house.make_function("allowed-x", "def go(e, c): return 1")
    with pytest.raises(Exception, match="cannot be"):
        house.make_function("../../outside", "def go(e, c): return 1")
    house.aws.client("lambda").invoke(FunctionName=arn)

    assert (house.aws.logs / "allowed-x.log").exists()
