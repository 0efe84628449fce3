"""Map: makes the children of a batch page by page, then seals the batch.

The ids of a page are noted before its children are stored, so cancelling the batch finds all
children. If the process that makes it dies, the batch stays visibly unsealed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from typing import Final

from remotejob.domain import batch_changes
from remotejob.domain.argument_checks import check_text, is_a, plain_text
from remotejob.domain.batches import KEPT, BatchRecord, Follower, new_batch_id
from remotejob.domain.errors import (
    AccessProblem,
    BatchUnfinished,
    InvalidData,
    InvalidInput,
    QueueFull,
    QueueRetired,
)
from remotejob.domain.events import Event
from remotejob.domain.ids import new_job_id
from remotejob.domain.record import INLINE_LIMIT
from remotejob.domain.text import cut, said_by, shown
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Conflict
from remotejob.jobs.commands.batch_commands import cancel_children
from remotejob.jobs.content import payloads
from remotejob.jobs.coordination.batch_counts import release_follower
from remotejob.jobs.submission.batch_sources import Children, Each, Reading, Source, reading_of
from remotejob.jobs.submission.room import check_room, lanes_of
from remotejob.jobs.submission.submission import Checked, Submission, check
from remotejob.jobs.submission.submit import RECORDS_AT_A_TIME, submit_page
from remotejob.names import Field
from remotejob.ports import Address, Installation, QueueDescription

log = logging.getLogger(__name__)

_LONGEST_NAME: Final = 255
_LONGEST_FOLLOWER_DATA: Final = INLINE_LIMIT - 1024
"""Bytes of a follower's own data; the counts of the batch must fit into the record too."""
_LATEST: Final = KEPT / 2
_FOLLOWER_FIELDS: Final = (
    "task",
    "data",
    "retry",
    "priority",
    "resource",
    "tenant",
    "input",
    "expires",
    "crashes",
)


class _Stopped(Exception):
    """The batch was cancelled while it was being made."""


def make_batch(
    each: Each,
    source: Source,
    *,
    on_complete: str | Submission | None,
    name: str | None,
    queue: QueueDescription,
    installation: Installation,
) -> str:
    """Make a batch; return its id.

    Raises: InvalidInput and QueueFull, before anything is written; AccessProblem, when permissions
    are missing and no child was made; BatchUnfinished, when some children were made and others were
    not.
    """
    check(each.child(), queue=queue, installation=installation)
    _check_name(name)
    follower = _follower(on_complete, queue, installation)
    maker = _BatchMaker(queue, installation)
    reading = reading_of(source, each, installation)
    if reading.rereadable:
        maker.check_all(reading.read())
    now = installation.clock.now_ms()
    batch = BatchRecord(
        id=new_batch_id(now, installation.entropy),
        task=each.task,
        queue=queue.name,
        name=name,
        created_ms=now,
        expires_s=(now + max(span_ms(KEPT), 2 * span_ms(installation.retention))) // 1000,
        follower=follower,
        counters={},
        follower_ids=(),
    )
    try:
        maker.make(batch, reading)
    except Exception as problem:
        if isinstance(problem, AccessProblem) and not maker.made:
            raise
        why = (
            f"{problem}"
            if isinstance(problem, _Stopped | InvalidInput | QueueFull | QueueRetired)
            else _error(problem)
        )
        raise BatchUnfinished(batch.id, made=maker.made, why=why) from problem
    except BaseException as interruption:
        interruption.add_note(str(BatchUnfinished(batch.id, made=maker.made, why="interrupted")))
        raise
    return batch.id


def _error(problem: Exception) -> str:
    return f"{type(problem).__name__}: {cut(said_by(problem), 300)}"


class _BatchMaker:
    """Makes one batch."""

    def __init__(self, queue: QueueDescription, installation: Installation) -> None:
        self._queue = queue
        self._installation = installation
        self._fits = False
        """Whether there was room for all children before the first was made."""
        self.made = 0
        """How many children are stored."""

    def check_all(self, children: Children) -> None:
        """Raises: InvalidData; QueueFull."""
        lanes: Counter[Address] = Counter()
        for label, submission in children:
            lanes.update(lanes_of([self.checked(label, submission).record], self._installation))
        check_room(lanes, self._installation)
        self._fits = True

    def make(self, batch: BatchRecord, reading: Reading) -> None:
        self._begin(batch)
        last: list[str] = []
        try:
            for number, page in enumerate(self._pages(batch, reading.read())):
                if not self._fits:
                    lanes = lanes_of((one.record for one in page), self._installation)
                    check_room(lanes, self._installation)
                ids = [one.record.id for one in page]
                self._transact(batch, number, ids)
                last = ids
                stored, cause = submit_page(page, self._installation)
                self.made += len(stored)
                if cause is not None:
                    raise cause
            self._seal(batch)
        except _Stopped:
            # the cancel may have looked for children before these were stored
            cancel_children(last, self._installation)
            raise
        release_follower(batch.id, self._installation)

    def _begin(self, batch: BatchRecord) -> None:
        installation = self._installation
        follower_id = None
        if batch.follower is not None:
            follower_id = new_job_id(batch.created_ms, installation.entropy)
        log.info("batch begun", extra={"batch": batch.id, "task": batch.task})
        # the id is fresh, so a conflict means that our own write succeeded and its answer was lost
        installation.store.transact(batch_changes.begun(batch, follower_id=follower_id))
        if follower_id is not None and installation.hooks.wants(Event.CREATED):
            record = installation.store.get(follower_id)
            if record is not None:
                installation.hooks.tell(Event.CREATED, record, installation)

    def _pages(self, batch: BatchRecord, children: Children) -> Iterator[list[Checked]]:
        while some := list(islice(children, RECORDS_AT_A_TIME)):
            yield [self.checked(label, one, batch_id=batch.id) for label, one in some]

    def checked(
        self, label: str, submission: Submission, *, batch_id: str | None = None
    ) -> Checked:
        """Raises: InvalidData, naming the child."""
        try:
            checked = check(
                _in_batch(submission, batch_id), queue=self._queue, installation=self._installation
            )
        except InvalidInput as problem:
            raise InvalidData(f"{label}: {problem}") from problem
        due = checked.record.due_ms
        if due is not None and due > self._installation.clock.now_ms() + span_ms(_LATEST):
            raise InvalidData(
                f"{label}: due more than {_LATEST.days} days from now; a batch is kept for "
                f"{KEPT.days} days, so submit this job on its own"
            )
        return checked

    def _transact(self, batch: BatchRecord, number: int, ids: Sequence[str]) -> None:
        conflict = self._installation.store.transact(batch_changes.page_added(batch, number, ids))
        if conflict is not None and conflict.step == 1:
            raise _Stopped("it was cancelled meanwhile")
        # otherwise the page exists: our own write succeeded, and its answer was lost

    def _seal(self, batch: BatchRecord) -> None:
        conflict = self._installation.store.transact([batch_changes.sealed(batch.id)])
        if conflict is not None and not _is_sealed(conflict):
            raise _Stopped("it was cancelled meanwhile")


def _is_sealed(conflict: Conflict) -> bool:
    return conflict.item is not None and Field.SEALED in conflict.item


def _in_batch(submission: Submission, batch_id: str | None) -> Submission:
    return replace(submission, batch=batch_id)


def _check_name(name: str | None) -> None:
    if name is None:
        return
    remedy = f"use text of 1 to {_LONGEST_NAME} characters"
    if not 0 < len(check_text("name", name, remedy=remedy)) <= _LONGEST_NAME:
        raise InvalidData(f"name={shown(name)}: {remedy}")


def _follower(
    on_complete: str | Submission | None, queue: QueueDescription, installation: Installation
) -> Follower | None:
    if on_complete is None:
        return None
    name = plain_text(on_complete)
    submission = on_complete if name is None else Submission(task=name)
    if not isinstance(submission, Submission):
        raise InvalidData(f"on_complete={shown(on_complete)}: give a task's name, or a Submission")
    try:
        return _checked_follower(submission, queue, installation)
    except InvalidData as problem:
        raise InvalidData(f"on_complete: {problem}") from problem


def _checked_follower(
    submission: Submission, queue: QueueDescription, installation: Installation
) -> Follower:
    # by identity: its values may compare in their own ways
    others = (one for one in fields(submission) if one.name not in _FOLLOWER_FIELDS)
    if any(getattr(submission, one.name) is not one.default for one in others):
        raise InvalidData(
            "it runs when the batch is complete and may only have "
            f"{', '.join(_FOLLOWER_FIELDS)}; leave the rest out"
        )
    data = submission.data
    if data is not None and (not is_a(data, dict) or dict.__contains__(data, "batch")):
        raise InvalidData(
            f'data={shown(data)}: use a dict without "batch", which will hold the counts'
        )
    if len(payloads.encode(data, what="data").encode()) > _LONGEST_FOLLOWER_DATA:
        raise InvalidData(
            f"its data is longer than {_LONGEST_FOLLOWER_DATA} bytes; put it into a file and give "
            "its name"
        )
    return Follower.of(check(submission, queue=queue, installation=installation).record)
