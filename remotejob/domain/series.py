"""Series of jobs that repeat for ever, and the generation of each.

The repeats of a task in a queue have a head: an item with the number of their current generation.
`cancel_repeats` begins the next generation in one write. Every job made before that belongs to an
earlier one: it is outdated, and whoever meets it cancels it. In the time lines, R and Q replace the
repeats, A is a worker, M a manager.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from remotejob.domain import odd_items
from remotejob.domain.changes import Change, Condition
from remotejob.domain.command_changes import CANCEL, cancel
from remotejob.domain.conditions import Absent, All, Is, Item, Value
from remotejob.domain.errors import UnreadableItem
from remotejob.domain.history import Action, entered
from remotejob.domain.marks import mark_of_head
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.repeat import Repeat
from remotejob.domain.transactions import Check, Key, Put
from remotejob.names import Field, Partition

REPLACED: Final = "Replaced"
"""Kind of the failure that explains why an outdated job was cancelled."""

_SAME_GENERATION: Final = Condition(
    name="same_generation",
    # Two replace the same repeats, or a job is made while they are replaced:
    #     R  reads 3 ── begins 4 ✓
    #     Q  reads 3 ────────────── begins 4 ✗ ── reads 4 ── begins 5 ✓
    #     M  reads 3 ── submits into 3 ✗ ── reads 5 ── submits into 5 ✓
    expression=Is(Field.HEAD, "head"),
)

_NO_GENERATION: Final = Condition(name="no_generation", expression=Absent(Field.PK))
"""The repeats were never replaced."""


def is_endless(record: JobRecord) -> bool:
    """Whether a job repeats for ever, so that `cancel_repeats` replaces it."""
    return record.repeat_json is not None and Repeat.from_json(record.repeat_json).times is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The head of the repeats of a task in a queue."""

    queue: str
    task: str
    generation: int
    """0 before the first replacement, when there is no item."""
    odd: bool = False
    """Whether its item has no generation, which counts as none."""

    @classmethod
    def of(cls, queue: str, task: str, item: Item | None) -> Head:
        """Raises: UnreadableItem, when the generation is a fraction: no condition can tell it."""
        generation: object = None if item is None else item.get(Field.HEAD)
        if isinstance(generation, Mapping) and "N" in generation:
            key = head_key(queue, task)
            problem = f"{Field.HEAD}={generation['N']} is no generation"
            raise UnreadableItem(key.partition, key.name, problem)
        if not isinstance(generation, int) or isinstance(generation, bool):
            return cls(queue=queue, task=task, generation=0, odd=item is not None)
        return cls(queue=queue, task=task, generation=generation)

    @property
    def key(self) -> Key:
        return head_key(self.queue, self.task)

    def outdates(self, record: JobRecord) -> bool:
        """Whether a job belongs to an earlier generation, and has not ended."""
        return (
            (record.queue, record.task) == (self.queue, self.task)
            and not record.terminal
            and record.generation < self.generation
            and is_endless(record)
        )

    def check(self) -> Check:
        """The step that requires this generation to be the current one."""
        return Check(key=self.key, condition=self._condition, values=self._values)

    def next(self, *, now_ms: int) -> tuple[Head, Put]:
        """The next generation, and the step that begins it.

        Its mark lets the scheduler cancel what is outdated, even if whoever began it dies.
        """
        following = replace(self, generation=self.generation + 1, odd=False)
        step = Put(
            key=self.key,
            content={**following._content, **mark_of_head(now_ms)},
            condition=self._condition,
            values=self._values,
        )
        return following, step

    def done(self) -> Put:
        """The step that removes the mark: nothing is outdated any more."""
        return Put(
            key=self.key, content=self._content, condition=self._condition, values=self._values
        )

    @property
    def _content(self) -> dict[str, Value]:
        return {Field.HEAD: self.generation}

    @property
    def _condition(self) -> Condition:
        if self.odd:
            return odd_items.ODD_HEAD
        return _SAME_GENERATION if self.generation else _NO_GENERATION

    @property
    def _values(self) -> Item:
        return {"head": self.generation} if self.generation else {}


_REPLACED: Final = "the repeats of this task were cancelled or replaced (cancel_repeats)"


def head_key(queue: str, task: str) -> Key:
    # the mark shows only the name, so that says everything; neither part has a "#"
    name = f"{queue}#{task}"
    return Key(f"{Partition.REPEATS}{name}", name)


def named_head(name: str) -> tuple[str, str]:
    """The queue and the task of a head, by its name. Raises: UnreadableItem."""
    queue, _, task = name.partition("#")
    if not queue or not task or "#" in task:
        raise UnreadableItem("", name, "it is marked as the head of repeats, and is none")
    return queue, task


def cancel_outdated(
    record: JobRecord, *, now_ms: int, run_id: str | None = None, actor: str = ""
) -> Change:
    """Cancel a job of an earlier generation; the reason goes into its errors, and into its log.

    With `run_id`, only under that run, which has begun nothing yet: its lease ends, too.

    A  claims ── reads the head: outdated ────────── cancels ✓ (its own run)
    R            cancels ✓ ── (A's own cancel ✗: it has ended)
    """
    change = cancel(record, now_ms=now_ms)
    change = entered(change, record, Action.CANCELLED, actor=actor, detail=_REPLACED)
    failure = Failure(
        run_id=run_id or "",
        attempt=record.attempt,
        at_ms=max(now_ms, record.updated_ms),
        kind=REPLACED,
        message=_REPLACED,
    )
    change = replace(
        change, set={**change.set, Field.ERRORS: errors_to_json((*record.errors, failure))}
    )
    if run_id is None:
        return change
    return replace(
        change,
        condition=_CANCEL_OWN,
        values={**change.values, "run": run_id},
        remove=(*change.remove, Field.LEASE),
    )


_CANCEL_OWN: Final = Condition(
    name=CANCEL.name, expression=All(CANCEL.expression, Is(Field.RUN, "run"))
)
