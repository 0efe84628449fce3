"""How a running local system is found, and what is never believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from remotejob.cli.single_instance import lock_folder
from remotejob.local import private_files
from remotejob.local.announcement import ENDPOINT, FILE, LocalSystem, announced, find
from remotejob.local.errors import NotPrivate


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Something that speaks HTTP, and refuses everything."""

    class Refuses(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(timeout=10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a project" / "build" / "local"


def described(endpoint: str, **changed: object) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "system": "scans",
        "environment": {ENDPOINT: endpoint},
        "input_bucket": "in",
        "output_bucket": "out",
        **changed,
    }


def announce(folder: Path, endpoint: str, **changed: object) -> None:
    text = json.dumps(described(endpoint, **changed))
    private_files.replace_file(folder / FILE, text.encode())


def test_a_system_is_found_while_it_runs_and_no_longer(folder: Path, endpoint: str) -> None:
    names = {"input_bucket": "in", "output_bucket": "out"}
    with lock_folder(folder):
        with announced(folder, system="scans", environment={ENDPOINT: endpoint}, **names):
            found = find(folder)
            assert found == LocalSystem(**described(endpoint))
            assert (folder / FILE).stat().st_mode & 0o777 == 0o600
        assert find(folder) is None
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_what_a_killed_process_left_is_not_believed(folder: Path, endpoint: str) -> None:
    left_by_kill = (
        "import os, sys; from pathlib import Path\n"
        "from remotejob.cli.single_instance import lock_folder\n"
        "from remotejob.local.announcement import announced\n"
        "folder, endpoint = Path(sys.argv[1]), sys.argv[2]\n"
        "names = {'input_bucket': 'in', 'output_bucket': 'out'}\n"
        "with lock_folder(folder), announced(\n"
        "    folder, system='x', environment={'AWS_ENDPOINT_URL': endpoint}, **names\n"
        "): os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", left_by_kill, folder, endpoint], check=False)

    assert done.returncode == -9
    assert (folder / FILE).is_file()
    assert find(folder) is None


def test_a_free_lock_is_not_believed(folder: Path, endpoint: str) -> None:
    with lock_folder(folder):
        announce(folder, endpoint)
        assert find(folder) is not None
    (folder / "lock").write_text(str(os.getpid()))

    assert find(folder) is None


def test_a_lock_that_another_process_holds_is_not_believed(folder: Path, endpoint: str) -> None:
    with lock_folder(folder):
        announce(folder, endpoint, pid=os.getppid())
        assert find(folder) is None


def test_an_endpoint_that_does_not_answer_is_not_believed(folder: Path) -> None:
    with lock_folder(folder):
        announce(folder, "http://127.0.0.1:9")
        assert find(folder) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"environment": {ENDPOINT: "http://203.0.113.1:80"}},
        {"environment": {ENDPOINT: "https://127.0.0.1:80"}},
        {"environment": {}},
        {"environment": None},
        {"environment": {ENDPOINT: "http://127.0.0.1:80", "x; echo": "y"}},
        {"environment": {ENDPOINT: "http://127.0.0.1:80", "AWS_REGION": 1}},
        {"pid": "1"},
        {"pid": True},
        {"system": None},
        {"input_bucket": 3},
    ],
    ids=str,
)
def test_a_file_that_describes_no_local_system_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        LocalSystem.from_json(json.dumps(described("http://127.0.0.1:80", **changed)).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b"null"])
def test_damaged_files_are_not_believed(folder: Path, text: bytes) -> None:
    with lock_folder(folder):
        private_files.replace_file(folder / FILE, text)
        assert find(folder) is None


def test_a_file_that_others_can_read_is_not_believed(folder: Path, endpoint: str) -> None:
    with lock_folder(folder):
        announce(folder, endpoint)
        (folder / FILE).chmod(0o644)
        assert find(folder) is None


def test_a_link_is_neither_read_nor_written_through(folder: Path, endpoint: str) -> None:
    with lock_folder(folder):
        elsewhere = folder.parent / "elsewhere.json"
        private_files.replace_file(elsewhere, json.dumps(described(endpoint)).encode())
        (folder / FILE).symlink_to(elsewhere)
        assert find(folder) is None

        announce(folder, endpoint)
        assert not (folder / FILE).is_symlink()

        kept = elsewhere.read_bytes()
        (folder / f"{FILE}.part").symlink_to(elsewhere)
        with pytest.raises(NotPrivate, match="cannot be opened"):
            announce(folder, endpoint)
        (folder / f"{FILE}.part").unlink()
        (folder / f"{FILE}.part").hardlink_to(elsewhere)
        with pytest.raises(NotPrivate, match="not a file of your own"):
            announce(folder, endpoint)
        assert elsewhere.read_bytes() == kept
