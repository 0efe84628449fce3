"""Conformance suites: what every store, message queue and file store must do.

To test a backend of your own, subclass the suites in a test module and give the fixtures:

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

Each test wants an empty backend, so the fixtures have the scope of a function.

`StoreConformance` takes no clock: the times are in the changes. A store whose attention index
lags behind its records overrides `index_settled`, which is called before the index is read.

`MessagesConformance` takes a fixture `clock`, which the queues tell time by, and a fixture
`pass_time`, which lets a span of it go by. The suite has one that advances a `FakeClock`; a backend
that has its own time overrides it, with a real sleep if there is no other way.

`FilesConformance` writes what it stores under keys that begin with `conformance/`.

For readable failures, let pytest rewrite the suites' asserts, in your `conftest.py`:

    pytest.register_assert_rewrite("remotejob.testing.conformance")
"""

from remotejob.testing.conformance.files import FilesConformance
from remotejob.testing.conformance.messages import MessagesConformance
from remotejob.testing.conformance.store import StoreConformance

__all__ = ["FilesConformance", "MessagesConformance", "StoreConformance"]
