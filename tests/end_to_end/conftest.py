"""One embedded AWS with the real stacks, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from remotejob import Queue, RemoteJob
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker
from tests.deployed import deployed

SETTINGS = Path(__file__).with_name("remotejob.toml")


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    with deployed(SETTINGS) as embedded:
        yield embedded


@pytest.fixture(scope="session")
def system(aws: EmbeddedAws) -> RemoteJob:
    # the environment is asked while clients are made: other folders' tests must not see it after
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment().items():
            patch.setenv(name, value)
        return RemoteJob.connect(session=boto3.Session())


@pytest.fixture
def exported(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own process has exported what `remotejob local` prints."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def queue(system: RemoteJob) -> Queue:
    return system.queue()


@pytest.fixture
def worker(aws: EmbeddedAws) -> Iterator[Worker]:
    """A worker for one test, started as the deployed task definition says."""
    started = aws.start_worker()
    yield started
    if started.poll() is None:
        started.kill()
        started.wait()
