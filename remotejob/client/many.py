"""Commands on many jobs at once: pause, resume, cancel, restart, remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from remotejob.client.job import Job
from remotejob.domain.argument_checks import check_flag, check_items, is_a
from remotejob.domain.errors import (
    AccessProblem,
    CommandRefused,
    JobNotFound,
    RemoteJobError,
)
from remotejob.domain.name_rules import check_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry, check_retry
from remotejob.domain.states import Command, State, allows
from remotejob.domain.times import check_moment
from remotejob.jobs.commands import commands
from remotejob.jobs.commands.restart import restart
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.scheduler.tick import rescue
from remotejob.ports import Installation

_THREADS: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Commanded:
    """The outcome of a command on many jobs."""

    done: tuple[Job, ...]
    """The jobs that succeeded, as they are afterwards; removed jobs, as they were before. Includes
    jobs that the command on another job already took care of, such as one cancelled with it."""
    refused: Mapping[str, RemoteJobError]
    """Errors by job id: the job's state did not allow the command, or there is no such job."""


def without_changed(commanded: Commanded) -> Commanded:
    """Without the jobs that somebody else changed or removed since they were chosen."""
    refused = {
        job_id: refusal
        for job_id, refusal in commanded.refused.items()
        if not isinstance(refusal, CommandRefused | JobNotFound)
    }
    return replace(commanded, refused=refused)


def on_failed(
    name: str,
    jobs: Iterable[str | Job],
    command: Callable[[Iterable[str]], Commanded],
    installation: Installation,
) -> Commanded:
    """A command on the jobs among these that have failed. The others are refused."""
    ids = _ids(jobs)
    others = {
        record.id: CommandRefused(
            name, job_id=record.id, state=record.state, allowed=(State.FAILED,)
        )
        for record in installation.store.get_many(ids)
        if record.state is not State.FAILED
    }
    commanded = command([job_id for job_id in ids if job_id not in others])
    return replace(commanded, refused={**others, **commanded.refused})


class ManyCommands:
    """The methods of `RemoteJob` that command many jobs at once.

    Each takes jobs or their ids, and continues when one job refuses.

    Raises: InvalidInput, before doing anything; AccessProblem; boto3's errors, when AWS cannot be
    reached.
    Source: job-collection, `Job.pauseJobs` and similar methods.
    """

    _installation: Installation

    def get_jobs(self, jobs: Iterable[str | Job]) -> list[Job]:
        """The jobs that exist, in the order given."""
        ids = _ids(jobs)
        records = {record.id: record for record in self._installation.store.get_many(ids)}
        return [Job(records[job_id], self._installation) for job_id in ids if job_id in records]

    @command
    def pause_jobs(self, jobs: Iterable[str | Job]) -> Commanded:
        """Keep jobs from starting."""
        return _command_each(jobs, commands.pause, self._installation)

    @command
    def resume_jobs(self, jobs: Iterable[str | Job]) -> Commanded:
        """Resume paused jobs."""
        return _command_each(jobs, commands.resume, self._installation)

    @command
    def make_jobs_ready(
        self,
        jobs: Iterable[str | Job],
        *,
        at: datetime | None = None,
        independent: bool = False,
    ) -> Commanded:
        """Let waiting jobs run now, or at `at`; `independent` also drops their dependencies."""
        if at is not None:
            check_moment("at", at)
        check_flag("independent", independent)
        command = partial(commands.make_ready, at=at, independent=independent)
        return _command_each(jobs, command, self._installation)

    @command
    def cancel_jobs(self, jobs: Iterable[str | Job], *, antecedents: bool = False) -> Commanded:
        """Cancel jobs, and all jobs that depend on them."""
        check_flag("antecedents", antecedents)
        command = partial(commands.cancel, antecedents=antecedents)
        return self._command_related(Command.CANCEL, jobs, command, frozenset({State.CANCELLED}))

    @command
    def restart_jobs(
        self,
        jobs: Iterable[str | Job],
        *,
        retry: Retry | None = None,
        antecedents: bool = True,
        dependents: bool = False,
    ) -> Commanded:
        """Run jobs again; see `Job.restart`."""
        if retry is not None:
            check_retry(retry)
        check_flag("antecedents", antecedents)
        check_flag("dependents", dependents)
        command = partial(restart, retry=retry, antecedents=antecedents, dependents=dependents)
        # a restarted job moves on at once: by now it may be in any state
        return self._command_related(Command.RESTART, jobs, command, frozenset(State))

    @command
    def remove_jobs(self, jobs: Iterable[str | Job]) -> Commanded:
        """Delete ended jobs; see `Job.remove`."""
        return _command_each(jobs, commands.remove, self._installation)

    def _command_related(
        self,
        kind: Command,
        jobs: Iterable[str | Job],
        command: Callable[[str, Installation], JobRecord],
        reached: frozenset[State],
    ) -> Commanded:
        """Run a command that also changes related jobs, which may be among `jobs` themselves."""
        store, ids = self._installation.store, _ids(jobs)
        # a job that allowed the command before and refuses it now was changed with another one
        allowed = {record.id for record in store.get_many(ids) if allows(kind, record.state)}

        def accept_if_reached(job_id: str, installation: Installation) -> JobRecord:
            try:
                return command(job_id, installation)
            except CommandRefused:
                record = installation.store.get(job_id) if job_id in allowed else None
                if record is None or record.state not in reached:
                    raise
                return record

        return _command_each(ids, accept_if_reached, self._installation)

    @command
    def flush_stale(self) -> int:
        """Find running jobs whose worker died and requeue or fail them now; return how many.

        The scheduler does this once a minute anyway.
        Source: redis-dist-job-queue, `forceFlushStaleJobs`.
        """
        return rescue(self._installation)


def _command_each(
    jobs: Iterable[str | Job],
    command: Callable[[str, Installation], JobRecord],
    installation: Installation,
) -> Commanded:
    ids = _ids(jobs)

    def try_command(job_id: str) -> JobRecord | RemoteJobError:
        try:
            return command(job_id, installation)
        except AccessProblem:
            # not about this job: these credentials may not do it to any
            raise
        except RemoteJobError as refusal:
            return refusal

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="command") as pool:
        outcomes = list(zip(ids, pool.map(try_command, ids), strict=True))
    return Commanded(
        done=tuple(
            Job(outcome, installation)
            for _, outcome in outcomes
            if not isinstance(outcome, RemoteJobError)
        ),
        refused={
            job_id: outcome for job_id, outcome in outcomes if isinstance(outcome, RemoteJobError)
        },
    )


def _ids(jobs: Iterable[str | Job]) -> list[str]:
    """The ids, without duplicates. Raises: InvalidName."""
    listed = check_items("jobs", jobs, remedy="give a list of jobs, or of their ids")
    ids = [job.id if is_a(job, Job) else check_job_id(job) for job in listed]
    return list(dict.fromkeys(ids))
