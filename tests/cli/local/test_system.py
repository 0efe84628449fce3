"""What `remotejob local` says when its server ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from http.client import RemoteDisconnected

import pytest
from botocore.exceptions import ConnectionClosedError

from remotejob.cli.local.system import end_of_server_said
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import ServerFailed


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


def test_error_while_the_server_runs_is_told_as_it_is(aws: EmbeddedAws) -> None:
    with pytest.raises(RemoteDisconnected), end_of_server_said(aws):
        raise RemoteDisconnected("no answer")
