"""The backends on AWS keep the promises of the ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotejob.ports import Installation, JobStore, ObjectStore, WorkQueue
from remotejob.testing import FakeClock
from remotejob.testing.conformance import FilesConformance, MessagesConformance, StoreConformance
from tests.aws import TRANSPORTS, aws_installation


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=TRANSPORTS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with aws_installation(clock, transport=request.param) as installation:
        yield installation


class TestDynamoStore(StoreConformance):
    @pytest.fixture
    def store(self, installation: Installation) -> JobStore:
        return installation.store


class TestSqsMessages(MessagesConformance):
    @pytest.fixture
    def messages(self, installation: Installation) -> WorkQueue:
        return installation.messages


class TestS3Files(FilesConformance):
    @pytest.fixture
    def files(self, installation: Installation) -> ObjectStore:
        return installation.files
