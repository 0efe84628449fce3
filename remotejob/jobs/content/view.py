"""The part of a job that both its creator and its task see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remotejob.domain.checkpoints import checkpoint_key
from remotejob.domain.ids import partition_of
from remotejob.domain.record import Failure, InputFile, JobRecord
from remotejob.domain.record_texts import load_json
from remotejob.domain.repeat import PreviousRun, Repeat
from remotejob.domain.times import from_ms
from remotejob.jobs.content import payloads
from remotejob.ports import Area, Installation


class JobView:
    """The part of a job that both its creator and its task see."""

    def __init__(self, record: JobRecord, installation: Installation) -> None:
        self._record = record
        self._installation = installation

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def task(self) -> str:
        return self._record.task

    @property
    def queue(self) -> str:
        return self._record.queue

    @property
    def priority(self) -> int:
        return self._record.priority

    @property
    def resource(self) -> str | None:
        """The resource it uses exclusively while it runs."""
        return self._record.resource

    @property
    def tenant(self) -> str | None:
        """The tenant it belongs to."""
        return self._record.tenant

    @property
    def repeat(self) -> Repeat | None:
        """How it repeats; `times` is the number of repeats left."""
        text = self._record.repeat_json
        return None if text is None else Repeat.from_json(text)

    @property
    def origin_id(self) -> str | None:
        """The job it repeats, reruns or replays."""
        return self._record.origin_id

    @property
    def previous(self) -> PreviousRun | None:
        """How the job that it repeats ended; None if it repeats none."""
        text = self._record.previous_json
        return None if text is None else PreviousRun.from_json(text)

    @property
    def depends(self) -> tuple[str, ...]:
        """Ids of the jobs it depends on."""
        return self._record.depends

    @property
    def due_at(self) -> datetime | None:
        """The earliest time it may run, or might; None if it could from the start."""
        due = self._record.due_ms
        return None if due is None else from_ms(due)

    @property
    def attempt(self) -> int:
        """Number of the current or last run, from 1; 0 before the first."""
        return self._record.attempt

    @property
    def created_at(self) -> datetime:
        return from_ms(self._record.created_ms)

    @property
    def started_at(self) -> datetime | None:
        """When the current or last run started."""
        started = self._record.started_ms
        return None if started is None else from_ms(started)

    @property
    def crashes(self) -> int:
        """How often its worker died or fell silent while the job ran."""
        return self._record.crashes

    @property
    def lost_leases(self) -> int:
        """How often its worker lost the lease, but lived, while the job ran."""
        return self._record.lost_leases

    @property
    def worker(self) -> str | None:
        """The worker of the current or last run."""
        return self._record.worker

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The last failures, oldest first."""
        return self._record.errors

    @property
    def input(self) -> InputFile | None:
        """The file to work on, if the job has one."""
        return self._record.input

    @property
    def filename(self) -> str | None:
        """Name of the input file, without folders."""
        file = self._record.input
        return None if file is None else file.name

    @property
    def data(self) -> Any:
        """The data given at submit, decoded again at each call; None if there was none.

        Raises: FileNotFoundError, when it was too long for the record and has expired;
        UnreadableItem, when it is no JSON.
        """
        record = self._record
        text = payloads.load_text(
            self._installation.files, Area.INPUT, record.data_json, record.data_ref
        )
        return None if text is None else self._load(text, "its data")

    def _checkpoint(self, record: JobRecord) -> Any:
        text = payloads.load_text(
            self._installation.files, Area.OUTPUT, record.checkpoint_json, checkpoint_key(record)
        )
        return None if text is None else self._load(text, "its checkpoint")

    def _load(self, text: str, what: str) -> Any:
        job_id = self._record.id
        return load_json(text, partition=partition_of(job_id), name=job_id, what=what)
