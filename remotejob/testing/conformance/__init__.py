"""Conformance suites: the tests every store, message queue and file store must pass.

To test your own backend, subclass the suites in a test module and define the fixtures:

    from remotejob.testing import FakeClock
    from remotejob.testing.conformance import (
        FilesConformance,
        MessagesConformance,
        StoreConformance,
    )

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self) -> MyStore:
            return MyStore(...)

    class TestMyMessages(MessagesConformance):
        @pytest.fixture
        def clock(self) -> FakeClock:
            return FakeClock()

        @pytest.fixture
        def messages(self, clock) -> MyMessages:
            return MyMessages(clock)

    class TestMyFiles(FilesConformance):
        @pytest.fixture
        def files(self) -> MyFiles:
            return MyFiles(...)

Each test needs an empty backend, so use function-scoped fixtures.

`StoreConformance` needs no clock, because the changes carry their times. If your store's attention
index lags behind its records, override `index_settled`, which runs before the index is read.

`MessagesConformance` needs a fixture `clock`, which the queues read, and a fixture `pass_time`,
which lets time pass. The suite's own `pass_time` advances a `FakeClock`; if your backend keeps
other time, override it, with a real sleep if nothing else works.

`FilesConformance` stores files under keys that begin with `conformance/`.

For readable failures, let pytest rewrite the suites' asserts in your `conftest.py`:

    pytest.register_assert_rewrite("remotejob.testing.conformance")
"""

from remotejob.testing.conformance.files import FilesConformance
from remotejob.testing.conformance.messages import MessagesConformance
from remotejob.testing.conformance.store import StoreConformance

__all__ = ["FilesConformance", "MessagesConformance", "StoreConformance"]
