"""The claim of a job by a message: the record decides which task runs, and for which queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import All, Is
from remotejob.domain.run_changes import CLAIM
from remotejob.names import Field

CLAIM_BY_MESSAGE: Final = Condition(
    name=CLAIM.name,
    # A message that names another task, or came on another queue's lane, must run nothing: it would
    # run the job under a task it was not submitted for, with the rights of another queue's workers.
    expression=All(CLAIM.expression, Is(Field.TASK, "task"), Is(Field.QUEUE, "queue")),
)


def claim_by_message(change: Change, *, task: str, queue: str) -> Change:
    """A claim that is refused unless the record has the message's task and its queue."""
    return replace(
        change,
        condition=CLAIM_BY_MESSAGE,
        values={**change.values, "task": task, "queue": queue},
    )
