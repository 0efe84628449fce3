"""Everything that happened to the records and the files, noted as it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from remotejob.domain.changes import Change
from remotejob.domain.command_changes import REMOVE
from remotejob.domain.conditions import Item
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.transactions import Put
from remotejob.names import Field
from remotejob.ports import Area, Clock, JobStore

T = TypeVar("T")

SUBMIT = "submit"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one record that took effect."""

    at_ms: int
    change: str
    """Name of the change's condition; `submit` for a new record."""
    values: Item
    before: JobRecord | None
    after: JobRecord
    """Of a job that was removed, what it was until then."""

    @property
    def removed(self) -> bool:
        return self.change == REMOVE.name

    @property
    def target(self) -> State | None:
        """The state it led to; None where nothing is left."""
        return None if self.removed else self.after.state

    def __str__(self) -> str:
        before = "nothing" if self.before is None else str(self.before.state)
        return f"{self.change}: {before} -> {self.target or 'nothing'}"


class Trace:
    """Notes the steps of every record and the outputs of every run, right above the backend."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        """`store` reads the records; no fault touches it."""
        self._store = store
        self._clock = clock
        self.steps: list[Step] = []
        self.outputs: set[str] = set()
        """Keys of outputs that were put."""
        self.removed: set[str] = set()
        """Jobs that are not there any more."""

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        match name, arguments:
            case "store.update", (change,):
                return self._watch([change.job_id], change.condition.name, change.values, function)
            case (("store.put_new" | "store.put_fresh"), records):
                return self._watch([record.id for record in records], SUBMIT, {}, function)
            case "store.transact", steps:
                return self._watch_all(steps, function)
            case "files.put", (Area.OUTPUT, key):
                self.outputs.add(key)
        return function()

    def _watch(
        self, job_ids: Iterable[str], change: str, values: Item, function: Callable[[], T]
    ) -> T:
        before = {job_id: self._store.get(job_id) for job_id in job_ids}
        try:
            return function()
        finally:
            # also when the caller never learns of it
            for job_id, seen in before.items():
                self._note(job_id, seen, change, values)

    def _watch_all(self, steps: Sequence[Any], function: Callable[[], T]) -> T:
        names = {}
        for step in steps:
            if isinstance(step, Change):
                names[step.job_id] = (step.condition.name, step.values)
            elif isinstance(step, Put) and Field.STATE in step.content:
                names[step.key.name] = (SUBMIT, {})
            elif isinstance(step, Put) and step.condition is REMOVE:
                names[step.key.name] = (REMOVE.name, step.values)
        before = {job_id: self._store.get(job_id) for job_id in names}
        try:
            return function()
        finally:
            for job_id, seen in before.items():
                self._note(job_id, seen, *names[job_id])

    def _note(self, job_id: str, seen: JobRecord | None, change: str, values: Item) -> None:
        after = self._store.get(job_id)
        if after is None and seen is not None:
            # it vanished, and nothing but a removal may do that: the step's name says what it was
            self.steps.append(Step(self._clock.now_ms(), change, values, seen, seen))
            self.removed.add(job_id)
        elif after is not None and after != seen:
            self.removed.discard(job_id)
            self.steps.append(Step(self._clock.now_ms(), change, values, seen, after))

    @property
    def records(self) -> dict[str, JobRecord]:
        """Each record that is there, as its last step left it, in the order they were made."""
        records = {step.after.id: step.after for step in self.steps}
        return {job_id: record for job_id, record in records.items() if job_id not in self.removed}

    def of(self, job_id: str) -> list[Step]:
        return [step for step in self.steps if step.after.id == job_id]
