"""One embedded AWS with the real stacks, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remotejob import Queue, RemoteJob
from remotejob.local import secret_values
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker
from remotejob.settings import load
from tests.deployed import connected, deployed

SETTINGS = Path(__file__).with_name("remotejob.toml")


SECRETS = {"OCR_KEY": "k3y-that-nobody-may-see", "DB_PASSWORD": "p4ssw0rd-that-nobody-may-see"}
"""What the variables hold that the settings say are secrets."""


def put_secrets(aws: EmbeddedAws, folder: Path) -> None:
    """Give the embedded AWS what its workers need, through a file in the folder."""
    file = folder / secret_values.FILE
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in SECRETS.items()))
    secret_values.read(load(SETTINGS), folder).put(aws.client)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with deployed(SETTINGS) as embedded:
        put_secrets(embedded, tmp_path_factory.mktemp("secrets"))
        yield embedded


@pytest.fixture(scope="session")
def system(aws: EmbeddedAws) -> RemoteJob:
    # the environment is asked while clients are made: other folders' tests must not see it after
    with connected(aws.environment()) as found:
        return found


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
