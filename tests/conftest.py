"""What all tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from _pytest.nodeid import NodeId

pytest.register_assert_rewrite("remotejob.testing.conformance", "tests.aws")

TESTS = Path(__file__).parent

# how long an example takes is up to the machine
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, unless they say otherwise by `xdist_group`."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(TESTS).as_posix()))
        if config.getoption("loadgroup", default=False):
            _say_group(item)


def _say_group(item: pytest.Item) -> None:
    """Say in its id which group a test is of: pytest 9.2 leaves alone what xdist 3.8 writes there.

    Source: pytest-xdist, issue 1386.
    """
    groups = {str(mark.args[0]) for mark in item.iter_markers("xdist_group")}
    item._id = NodeId.parse(f"{item.nodeid}@{'_'.join(sorted(groups))}")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the library logs, also where a function has taken its logger over."""
    logger = logging.getLogger("remotejob")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)
    logger.propagate = propagate
