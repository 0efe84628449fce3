"""`failed` groups jobs by their error, the latest failure first, and cuts nothing."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from remotejob import Job, Queue
from remotejob.testing import FakeClock, Simulation
from tests.cli.conftest import Run

MANY_WORDS = "one reason of many words " * 9


@pytest.fixture
def jobs(queue: Queue, worker: Simulation, clock: FakeClock) -> list[Job]:
    """Seven of one error, then two of another, then one more of the first; the oldest first."""
    made: list[Job] = []
    for data in [MANY_WORDS] * 7 + ["fail"] * 2 + [MANY_WORDS]:
        clock.advance(timedelta(seconds=1))
        made.append(queue.submit("work", data=data, body=b"x", filename=f"page-{len(made)}.tiff"))
        worker.step()
    return [job.refresh() for job in made]


def test_failed_groups_by_error_with_counts_and_the_newest_jobs(run: Run, jobs: list[Job]) -> None:
    first, second = run("failed").stdout.split("\n\n")

    heading, _, *rows, older = first.splitlines()
    assert heading == f"8 jobs: ValueError: {MANY_WORDS}".rstrip()
    newest = [jobs[number] for number in (9, 6, 5, 4, 3)]
    assert [row.split()[0] for row in rows] == [job.id for job in newest]
    assert [row.split()[3] for row in rows] == [job.filename for job in newest]
    assert older == "and 3 older, which --json lists"
    heading, further, _, *rows = second.splitlines()
    assert (heading, further) == ("2 jobs: ValueError: no such size", "    nor any other")
    assert [row.split()[0] for row in rows] == [jobs[8].id, jobs[7].id]


def test_failed_as_json_lists_every_job_the_newest_first(run: Run, jobs: list[Job]) -> None:
    listed = json.loads(run("failed", "--json").stdout)

    assert [job["id"] for job in listed] == [job.id for job in reversed(jobs)]


def test_no_failed_jobs_is_said(run: Run) -> None:
    assert run("failed").stderr == "no jobs\n"


def test_why_has_the_whole_reason(run: Run, jobs: list[Job]) -> None:
    assert MANY_WORDS.strip() in run("why", jobs[0].id).stdout
