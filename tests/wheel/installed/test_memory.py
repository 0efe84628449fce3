"""The backends in memory keep the promises of the ports."""

from __future__ import annotations

import pytest

from remotejob.backends.memory import MemoryFiles, MemoryMessages, MemoryStore
from remotejob.testing import FakeClock
from remotejob.testing.conformance import FilesConformance, MessagesConformance, StoreConformance


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestMemoryMessages(MessagesConformance):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def messages(self, clock: FakeClock) -> MemoryMessages:
        return MemoryMessages(clock)


class TestMemoryFiles(FilesConformance):
    @pytest.fixture
    def files(self) -> MemoryFiles:
        return MemoryFiles()
