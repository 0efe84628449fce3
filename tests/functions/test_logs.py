"""What the functions log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from remotejob.functions.logs import new_logger, share_logger


@pytest.fixture
def library() -> Iterator[logging.Logger]:
    logger = logging.getLogger("remotejob")
    handlers, level, propagates = logger.handlers[:], logger.level, logger.propagate
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagates


def test_lines_of_the_library_are_json_in_the_functions_log(library: logging.Logger) -> None:
    written = io.StringIO()
    share_logger(new_logger("spare", stream=written))

    logging.getLogger("remotejob.jobs").warning("job %s is late", "1", extra={"queue": "scans"})

    line = json.loads(written.getvalue())
    assert (line["message"], line["level"]) == ("job 1 is late", "WARNING")
    assert (line["service"], line["queue"]) == ("spare", "scans")
