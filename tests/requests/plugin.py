"""Checks every request that a test sends to DynamoDB, SQS or S3 against AWS's rules.

A request that AWS would refuse fails the test, though an emulator took it. Tests that send such
requests on purpose are marked `refused_by_aws`. Requests of workers and functions, which are
processes of their own, are checked where the embedded AWS gets them; in the end-to-end tests, their
policies must not refuse one either, but where a test is marked `refused_by_policy`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from botocore.client import BaseClient

from remotejob.backends.aws.direct.json_service import DirectService
from remotejob.backends.aws.direct.sender import Sender
from remotejob.local import server_process
from tests.requests import rules
from tests.requests.recording_server import FAULTS, FOLDER, REFUSED, USED
from tests.requests.rules import s3

MARK: Final = "refused_by_aws"
POLICY_MARK: Final = "refused_by_policy"
CHECKED: Final = frozenset({"dynamodb", "sqs", "s3"})
_MOST_SHOWN: Final = 5
_END_TO_END: Final = Path(__file__).parents[1] / "end_to_end"
_found: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARK}: it sends requests that AWS refuses, and expects the refusal"
    )
    config.addinivalue_line("markers", f"{POLICY_MARK}: a worker or function lacks a right in it")
    stack = contextlib.ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="requests-")))
    stack.enter_context(_checking(folder))
    config.stash[_RECORD] = folder
    config.add_cleanup(stack.close)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the phase of a test in which a request broke a rule."""
    report = yield
    folder = item.config.stash[_RECORD]
    faults = [*taken(), *_noted(folder, FAULTS)]
    # read after each test: other folders' tests have refusals that are theirs
    refused = _noted(folder, REFUSED)
    if _END_TO_END not in item.path.parents:
        refused = []
    if report.passed:
        if faults and item.get_closest_marker(MARK) is None:
            _fail(report, f"AWS would refuse {len(faults)} requests of this test", faults)
        elif refused and item.get_closest_marker(POLICY_MARK) is None:
            _fail(report, f"policies refused {len(refused)} requests of this test", refused)
    return report


def _fail(report: pytest.TestReport, why: str, lines: list[str]) -> None:
    shown = "\n".join(f"  {line}" for line in [*dict.fromkeys(lines)][:_MOST_SHOWN])
    report.outcome = "failed"
    report.longrepr = f"{why}:\n{shown}"


@pytest.fixture(scope="session")
def used_statements(pytestconfig: pytest.Config) -> Callable[[], set[str]]:
    """Which statements allowed which actions so far, in all that this process deployed."""
    folder = pytestconfig.stash[_RECORD]
    return lambda: {
        line for file in folder.glob(f"*{USED}") for line in file.read_text().splitlines()
    }


def taken() -> list[str]:
    """What was found in this process since the last look."""
    found = [*_found]
    _found.clear()
    return found


_RECORD: Final = pytest.StashKey[Path]()


@contextlib.contextmanager
def _checking(folder: Path) -> Iterator[None]:
    """Look at what the library's own clients and boto3's are about to send."""
    direct, boto3s, announced = (
        DirectService.call,
        BaseClient._make_api_call,  # type: ignore[attr-defined]
        Sender._announced,
    )

    def call(self: DirectService, operation: str, request: Mapping[str, Any]) -> Any:
        _check(self._api.service, operation, request)
        return direct(self, operation, request)

    def make_api_call(self: Any, operation: str, request: Mapping[str, Any]) -> Any:
        service = self.meta.service_model.service_name
        if service in CHECKED:
            _check(service, operation, request)
        return boto3s(self, operation, request)

    def announce(self: Sender, operation: str, request: Any) -> Any:
        signed, answer = announced(self, operation, request)
        if self._service == "s3":
            _check_file(self.url, operation, signed)
        return signed, answer

    with (
        patch.object(DirectService, "call", call),
        patch.object(BaseClient, "_make_api_call", make_api_call),
        patch.object(Sender, "_announced", announce),
        patch.object(server_process, "MODULE", "tests.requests.recording_server"),
        patch.dict("os.environ", {FOLDER: str(folder)}),
    ):
        yield


def _check(service: str, operation: str, request: Mapping[str, Any]) -> None:
    _found.extend(rules.faults(service, operation, request))


def _check_file(url: str, operation: str, signed: Any) -> None:
    host, path = urlsplit(url).netloc, urlsplit(url).path
    bucket = host.partition(".s3.")[0] if ".s3." in host else signed.target.split("/")[1]
    given, found = s3.parameters(
        operation,
        signed.method,
        f"{path.rstrip('/')}{signed.target}",
        signed.headers,
        signed.body,
        bucket=bucket,
    )
    _found.extend(found or rules.faults("s3", operation, given))


def _noted(folder: Path, kind: str) -> list[str]:
    """What the embedded AWS noted since the last look."""
    found: list[str] = []
    for file in folder.glob(f"*{kind}"):
        found += file.read_text().splitlines()
        file.unlink()
    return found
