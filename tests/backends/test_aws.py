"""The backends on AWS keep the promises of the ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotejob.ports import JobStore, ObjectStore, WorkQueue
from remotejob.testing import FakeClock
from remotejob.testing.conformance import FilesConformance, MessagesConformance, StoreConformance
from tests.aws import TRANSPORTS, aws_files, aws_messages, aws_store


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestDynamoStore(StoreConformance):
    @pytest.fixture
    def store(self, clock: FakeClock, transport: str) -> Iterator[JobStore]:
        with aws_store(clock, transport=transport) as store:
            yield store


class TestSqsMessages(MessagesConformance):
    @pytest.fixture
    def messages(self, clock: FakeClock, transport: str) -> Iterator[WorkQueue]:
        with aws_messages(clock, transport=transport) as messages:
            yield messages


class TestS3Files(FilesConformance):
    @pytest.fixture
    def files(self, clock: FakeClock, transport: str) -> Iterator[ObjectStore]:
        with aws_files(clock, transport=transport) as files:
            yield files
