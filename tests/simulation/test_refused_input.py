"""Input that is refused leaves nothing behind: not one request was made."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import BytesIO, StringIO
from typing import Any

import pytest

from remotejob.domain.errors import InvalidInput
from remotejob.jobs.submission.submission import Submission
from remotejob.jobs.submission.submit import submit, submit_many
from remotejob.testing.crashes import Faults
from tests.simulation.playing import memory_world
from tests.simulation.world import QUEUE


def closed_file() -> BytesIO:
    file = BytesIO(b"photo")
    file.close()
    return file


GOOD = Submission(task="work", body=b"photo", data={"width": 400})

REFUSED: dict[str, dict[str, Any]] = {
    "a task the queue does not run": {"task": "wrok"},
    "a name that climbs": {"body": b"x", "filename": "../x"},
    "a name with control characters": {"body": b"x", "filename": "a\x00b"},
    "data JSON cannot write": {"data": {"at": datetime(2026, 1, 1)}},  # noqa: DTZ001
    "a number JSON does not have": {"data": float("nan")},
    "a file that is closed": {"body": closed_file()},
    "a stream of text": {"body": StringIO("x")},
    "a file that is not there": {"body": "/no/such/file"},
    "a delay into the past": {"delay": timedelta(seconds=-1)},
    "a time without its zone": {"after": datetime(2026, 1, 1)},  # noqa: DTZ001
    "two times": {
        "delay": timedelta(seconds=1),
        "after": datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
    },
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_submit_makes_no_request(what: str) -> None:
    faults = Faults()
    world = memory_world(faults)
    installation = faults.process(world.base, "creator")
    with pytest.raises(InvalidInput):
        submit(
            Submission(**{"task": "work", **REFUSED[what]}),
            queue=installation.queues[QUEUE],
            installation=installation,
        )
    assert faults.calls == []


@pytest.mark.parametrize("what", REFUSED)
def test_one_that_is_refused_among_many_makes_no_request(what: str) -> None:
    faults = Faults()
    world = memory_world(faults)
    installation = faults.process(world.base, "creator")
    bad = Submission(**{"task": "work", **REFUSED[what]})
    with pytest.raises(InvalidInput):
        submit_many([GOOD, bad], queue=installation.queues[QUEUE], installation=installation)
    assert faults.calls == []
