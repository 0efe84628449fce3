"""What all tests share."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from botocore.loaders import JSONFileLoader

from tests.sampling import thin_out

pytest.register_assert_rewrite("remotejob.testing.conformance", "tests.aws")

pytest_plugins = ["tests.fixtures", "tests.requests.plugin"]

TESTS = Path(__file__).parent

# how long an example takes is up to the machine
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long bytes by their argument: compressed ones have the time of day in them, and the
    processes of a run must agree on the names of its cases."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, unless they say otherwise by `xdist_group`.

    Of a test that has many cases, most are left to `make test-all`.
    """
    thin_out(items)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(TESTS).as_posix()))


def _parse_each_file_once() -> None:
    """Keep botocore's data files: each session would parse those of its services again."""
    stock = JSONFileLoader.load_file

    @functools.cache
    def load(path: str) -> Any:
        return stock(JSONFileLoader(), path)

    JSONFileLoader.load_file = lambda _, path: load(path)  # type: ignore[method-assign,assignment]


_parse_each_file_once()


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
