"""Jobs of an embedded AWS that is killed or updated in the middle of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import boto3
import pytest

from remotejob import Job, RemoteJob, State, Submission
from remotejob.cli.local import kept_state
from tests.deployed import connected, deployed
from tests.end_to_end.conftest import SETTINGS, put_secrets
from tests.end_to_end.waiting import PATIENCE, until

JOBS = 50


def states(system: RemoteJob) -> Counter[State]:
    return Counter(job.state for job in system.jobs(limit=1000))


@pytest.mark.exhaustive
def test_jobs_of_a_killed_system_all_end_once_after_the_next_start(tmp_path: Path) -> None:
    keep, early, late = (tmp_path / name for name in ("keep", "early", "late"))
    early.mkdir()
    late.mkdir()
    (early / "go").touch()
    with deployed(SETTINGS, keep=keep) as aws, connected(aws.environment()) as system:
        put_secrets(aws, tmp_path)
        submitted = [*holding(system, early), *holding(system, late)]
        aws.start_worker()
        until(lambda: list(late.glob("begun-*")), what="the beginning of a job that is held")
        assert aws._process is not None
        aws._process.kill()

    with deployed(SETTINGS, keep=keep) as aws, connected(aws.environment()) as system:
        before = states(system)
        (late / "go").touch()
        put_secrets(aws, tmp_path)
        kept_state.resend(aws.kept, system.name, boto3.Session())
        worker = aws.start_worker()
        jobs = [system.job(job.id).wait(PATIENCE) for job in submitted]
        worker.kill()

        assert before.total() == JOBS
        assert 0 < before[State.COMPLETED] < JOBS
        assert states(system) == {State.COMPLETED: JOBS}
        assert all(job.attempt - job.crashes == 1 for job in jobs)


@pytest.mark.exhaustive
def test_job_of_a_system_that_is_updated_is_given_back_and_runs_after_it(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    with deployed(SETTINGS, keep=tmp_path / "keep") as aws, connected(aws.environment()) as system:
        put_secrets(aws, tmp_path)
        job = system.queue().submit("hold", data={"folder": str(held)})
        aws.start_worker()
        until(lambda: list(held.glob("begun-*")), what="the run's beginning")
        assert aws.deployed_from is not None

        aws.update(aws.deployed_from)
        put_secrets(aws, tmp_path)
        state = job.refresh().state
        (held / "go").touch()
        worker = aws.start_worker()
        job.wait(PATIENCE)
        worker.kill()

    assert state is State.READY
    assert (job.attempt, job.crashes) == (1, 0)


def holding(system: RemoteJob, folder: Path) -> list[Job]:
    """Half of the jobs, which end once the folder has a file `go`."""
    data = {"folder": str(folder)}
    return system.queue().submit_many([Submission("hold", data=data)] * (JOBS // 2))
