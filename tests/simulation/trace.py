"""Everything that happened to the records and the files, noted as it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from remotejob.domain.conditions import Item
from remotejob.domain.record import JobRecord
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

    def __str__(self) -> str:
        before = "nothing" if self.before is None else str(self.before.state)
        return f"{self.change}: {before} -> {self.after.state}"


class Trace:
    """Notes the steps of every record and the outputs of every run, right above the backend."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        """`store` reads the records; no fault touches it."""
        self._store = store
        self._clock = clock
        self.steps: list[Step] = []
        self.outputs: set[str] = set()
        """Keys of outputs that were put."""

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        match name, arguments:
            case "store.update", (change,):
                return self._watch([change.job_id], change.condition.name, change.values, function)
            case (("store.put_new" | "store.put_fresh"), records):
                return self._watch([record.id for record in records], SUBMIT, {}, function)
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
                after = self._store.get(job_id)
                if after is not None and after != seen:
                    step = Step(self._clock.now_ms(), change, values, seen, after)
                    self.steps.append(step)

    @property
    def records(self) -> dict[str, JobRecord]:
        """Each record as its last step left it."""
        return {step.after.id: step.after for step in self.steps}

    def of(self, job_id: str) -> list[Step]:
        return [step for step in self.steps if step.after.id == job_id]
