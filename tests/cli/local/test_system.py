"""What `remotejob local` keeps of its functions, and says when its server ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from http.client import RemoteDisconnected
from pathlib import Path

import pytest
from botocore.exceptions import ConnectionClosedError

from remotejob.cli.local.system import end_of_server_said, remove_old_code
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import ServerFailed
from remotejob.local.server_process import silent


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with its input, as the server does."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process


@pytest.fixture
def aws(server: subprocess.Popen[bytes]) -> EmbeddedAws:
    aws = EmbeddedAws()
    aws._process = server
    return aws


@pytest.mark.parametrize(
    "problem",
    [
        RemoteDisconnected("no answer"),
        ConnectionClosedError(endpoint_url="http://127.0.0.1:1", error="no answer"),
        urllib.error.URLError("no answer"),
        ValueError("no answer"),
    ],
)
def test_whatever_a_server_that_was_killed_leaves_unanswered_its_end_is_said(
    aws: EmbeddedAws, server: subprocess.Popen[bytes], problem: Exception
) -> None:
    server.send_signal(signal.SIGKILL)

    with (
        pytest.raises(ServerFailed, match=r"^the embedded AWS has ended \(.*logs/server.log$"),
        end_of_server_said(aws),
    ):
        raise problem


def test_server_that_ends_without_a_word_is_told_with_its_folder(
    server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    server.send_signal(signal.SIGKILL)

    told = silent(server, tmp_path / "server.stderr.log")

    assert (
        told == f"the embedded AWS ended with -9 before it was ready; is there room in {tmp_path}?"
    )


def test_error_while_the_server_runs_is_told_as_it_is(aws: EmbeddedAws) -> None:
    with pytest.raises(RemoteDisconnected), end_of_server_said(aws):
        raise RemoteDisconnected("no answer")


def test_newest_code_of_functions_is_kept_and_what_is_half_extracted_is_not(tmp_path: Path) -> None:
    for number in range(6):
        made = tmp_path / f"code{number}"
        made.mkdir()
        os.utime(made, (number, number))
    (tmp_path / ".code9.1234").mkdir()

    remove_old_code(tmp_path)
    remove_old_code(tmp_path / "none")

    assert {path.name for path in tmp_path.iterdir()} == {"code2", "code3", "code4", "code5"}
