"""The fields of a job in JSON, and the attributes of `Job`."""

from __future__ import annotations

from typing import Final

from remotejob import Job, Queue
from remotejob.cli.formats import in_full

OTHER_NAMES: Final = {
    "created": "created_at",
    "due": "due_at",
    "expires": "expires_at",
    "started": "started_at",
    "finished": "finished_at",
    "next": "next_id",
    "next_due": "next_id",
    "next_state": "next_id",
    "origin": "origin_id",
    "checkpoint": "last_checkpoint",
    "log": "logs",
}
"""Fields whose names leave out the unit or the way of reading."""

ONLY_IN_PYTHON: Final = {"record", "ended", "filename"}
"""What other fields say: all of the record, the state, the input's name."""


def test_fields_in_json_are_attributes_of_a_job_and_the_other_way_round(queue: Queue) -> None:
    in_json = {OTHER_NAMES.get(name, name) for name in in_full(queue.submit("work"))}
    attributes = {
        name
        for base in Job.__mro__
        for name, value in vars(base).items()
        if isinstance(value, property)
    }
    assert in_json - {"logs"} == attributes - ONLY_IN_PYTHON
    assert callable(Job.logs)
