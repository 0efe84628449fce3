"""The same command to many jobs, and what is done with failed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from remotejob.client.job import Job
from remotejob.domain.errors import (
    AccessProblem,
    CommandRefused,
    InvalidName,
    RemoteJobError,
)
from remotejob.domain.ids import is_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.states import Command, State, allows
from remotejob.jobs.commands import commands
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.scheduler.tick import rescue
from remotejob.ports import Installation

_AT_A_TIME: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Commanded:
    """What became of a command to many jobs."""

    done: tuple[Job, ...]
    """As they stand after it; those that were removed, as they stood before. Also those that the
    command to another of them brought along, such as one that was cancelled with it."""
    refused: Mapping[str, RemoteJobError]
    """By the jobs' ids: their state did not allow it, or they are not there."""


class ManyCommands:
    """What a manager does to many jobs of a system at a time.

    Each method takes jobs or their ids, and goes on where one refuses.

    Raises: InvalidName, before anything is done; AccessProblem; what AWS raises, when it cannot
    be asked.
    Source: job-collection, `Job.pauseJobs` and its like.
    """

    _installation: Installation

    def get_jobs(self, jobs: Iterable[str | Job]) -> list[Job]:
        """Those of the jobs that there are, in the order given."""
        ids = _ids(jobs)
        records = {record.id: record for record in self._installation.store.get_many(ids)}
        return [Job(records[one], self._installation) for one in ids if one in records]

    @command
    def pause_jobs(self, jobs: Iterable[str | Job]) -> Commanded:
        """Keep them from starting."""
        return _commanded(jobs, commands.pause, self._installation)

    @command
    def resume_jobs(self, jobs: Iterable[str | Job]) -> Commanded:
        """Let them go on."""
        return _commanded(jobs, commands.resume, self._installation)

    @command
    def make_jobs_ready(
        self,
        jobs: Iterable[str | Job],
        *,
        at: datetime | None = None,
        independent: bool = False,
    ) -> Commanded:
        """Let them run now, or at `at`; independent, whatever they depend on."""
        command = partial(commands.make_ready, at=at, independent=independent)
        return _commanded(jobs, command, self._installation)

    @command
    def cancel_jobs(self, jobs: Iterable[str | Job], *, antecedents: bool = False) -> Commanded:
        """End them, and all that depend on them."""
        command = partial(commands.cancel, antecedents=antecedents)
        return self._bringing_along(Command.CANCEL, jobs, command, frozenset({State.CANCELLED}))

    @command
    def restart_jobs(
        self,
        jobs: Iterable[str | Job],
        *,
        retry: Retry | None = None,
        antecedents: bool = True,
        dependents: bool = False,
    ) -> Commanded:
        """Run them again; see `Job.restart`."""
        command = partial(
            commands.restart, retry=retry, antecedents=antecedents, dependents=dependents
        )
        # restarted, it goes on at once, to wherever a job can be
        return self._bringing_along(Command.RESTART, jobs, command, frozenset(State))

    @command
    def remove_jobs(self, jobs: Iterable[str | Job]) -> Commanded:
        """Take them away; see `Job.remove`."""
        return _commanded(jobs, commands.remove, self._installation)

    def _bringing_along(
        self,
        given: Command,
        jobs: Iterable[str | Job],
        command: Callable[[str, Installation], JobRecord],
        reached: frozenset[State],
    ) -> Commanded:
        """Where the command to one job does the same to others that are among them as well."""
        store, ids = self._installation.store, _ids(jobs)
        # one that stood where it is allowed, and is now refused, was brought along
        before = {one.id for one in store.get_many(ids) if allows(given, one.state)}

        def or_brought_along(job_id: str, installation: Installation) -> JobRecord:
            try:
                return command(job_id, installation)
            except CommandRefused:
                record = installation.store.get(job_id) if job_id in before else None
                if record is None or record.state not in reached:
                    raise
                return record

        return _commanded(ids, or_brought_along, self._installation)

    @command
    def flush_stale(self) -> int:
        """Look now for running jobs whose worker died, and send for them or fail them.

        The scheduler does it by itself once a minute. Returns how many there were.
        Source: redis-dist-job-queue, `forceFlushStaleJobs`.
        """
        return rescue(self._installation)


def _commanded(
    jobs: Iterable[str | Job],
    command: Callable[[str, Installation], JobRecord],
    installation: Installation,
) -> Commanded:
    ids = _ids(jobs)

    def give(job_id: str) -> JobRecord | RemoteJobError:
        try:
            return command(job_id, installation)
        except AccessProblem:
            # of no job in particular: these credentials may not do it to any
            raise
        except RemoteJobError as refusal:
            return refusal

    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="command") as pool:
        outcomes = list(zip(ids, pool.map(give, ids), strict=True))
    return Commanded(
        done=tuple(
            Job(outcome, installation)
            for _, outcome in outcomes
            if not isinstance(outcome, RemoteJobError)
        ),
        refused={one: outcome for one, outcome in outcomes if isinstance(outcome, RemoteJobError)},
    )


def _ids(jobs: Iterable[str | Job]) -> list[str]:
    """The ids, each once."""
    ids = [job if isinstance(job, str) else job.id for job in jobs]
    for job_id in ids:
        if not is_job_id(job_id):
            raise InvalidName(
                f"job id {job_id!r}: an id has 26 letters and digits, as submit gave it"
            )
    return list(dict.fromkeys(ids))
