"""What real workers write: every line JSON, with whose run it is of, and metrics among them."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from remotejob import Job, Queue, State
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker
from tests.end_to_end.waiting import PATIENCE, until
from tests.observability.embedded_format import Extracted, extracted


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def metrics(log: Path) -> list[Extracted]:
    found = [extracted(line) for line in log.read_text().splitlines()]
    return [one for one in found if one is not None]


def about(lines: list[dict[str, Any]], job: Job) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("job") == job.id]


def stopped(worker: Worker) -> list[dict[str, Any]]:
    """All the lines of a worker that is stopped without waiting for its open polls."""
    # not SIGTERM twice: the kernel makes one of two that come together
    worker.send(signal.SIGQUIT)
    assert worker.wait(PATIENCE) == 0
    return lines(worker.log)


def test_every_line_is_json_and_says_whose_run_it_is_of(queue: Queue, worker: Worker) -> None:
    jobs = {
        place: queue.submit(task, tenant="acme").wait(PATIENCE)
        for place, task in (
            ("said in a thread", "say"),
            ("said in a coroutine", "say_later"),
            ("said in a process", "say_apart"),
        )
    }

    written = stopped(worker)

    for place, job in jobs.items():
        assert job.state is State.COMPLETED
        said, end = about(written, job)
        assert (said["message"], said["logger"]) == (place, "tests.said")
        assert end["message"] == "job completed"
        for line in (said, end):
            fields = {name: line[name] for name in ("job", "queue", "task", "run", "attempt")}
            assert fields == {
                "job": job.id,
                "queue": "default",
                "task": job.task,
                "run": job.record.run_id,
                "attempt": 1,
            }
            assert line["tenant"] == "acme"
            assert line["time"].endswith("+00:00")


def test_metrics_tell_what_a_worker_did(queue: Queue, worker: Worker) -> None:
    for _ in range(3):
        queue.submit("say").wait(PATIENCE)
    failed = queue.submit("say", data="fail").wait(PATIENCE)

    written = stopped(worker)

    found = metrics(worker.log)
    assert {one.namespace for one in found} == {"remotejob"}
    assert {tuple(one.dimensions.items()) for one in found} == {
        (("System", "default"), ("Queue", "default"))
    }

    def total(name: str) -> float:
        return sum(one.sum(name) for one in found)

    assert (total("Started"), total("Completed"), total("Failed")) == (4, 3, 1)
    assert sum(len(one.values.get("SecondsQueued", [])) for one in found) == 4
    assert sum(len(one.values.get("SecondsRunning", [])) for one in found) == 4
    assert total("Receives") > total("EmptyReceives") > 0
    assert not total("Retried")
    (told,) = [line for line in about(written, failed) if line["level"] == "WARNING"]
    assert "one\ntwo" in told["message"]


@pytest.mark.exhaustive
def test_child_processes_of_a_supervisor_write_lines_and_metrics_of_their_own(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path
) -> None:
    supervisor = aws.start_worker(environment={"REMOTEJOB_PROCESSES": "2"})
    try:
        # one more than a child runs at a time, so that both have some
        jobs = [queue.submit("hold", data={"folder": str(tmp_path)}) for _ in range(3)]
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 3, what="the beginning of all runs")
        (tmp_path / "go").touch()
        assert {job.wait(PATIENCE).state for job in jobs} == {State.COMPLETED}
        written = stopped(supervisor)
    finally:
        if supervisor.poll() is None:
            supervisor.kill()

    ends = [line["message"] for job in jobs for line in about(written, job)]
    assert ends.count("job completed") == 3
    found = metrics(supervisor.log)
    assert sorted(one.sum("Completed") for one in found) == [1, 2]


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("REMOTEJOB_LOG_LEVEL", "loud", "use one of debug, info"),
        ("REMOTEJOB_METRICS", "yes", "use on or off"),
    ],
)
def test_a_worker_with_a_nonsense_environment_does_not_start_and_says_why(
    aws: EmbeddedAws, variable: str, value: str, remedy: str
) -> None:
    refused = aws.start_worker(environment={variable: value})

    assert refused.wait(PATIENCE) == 2
    (line,) = lines(refused.log)
    assert line["level"] == "CRITICAL"
    assert f"{variable}={value!r}: {remedy}" in line["message"]


@pytest.mark.exhaustive
def test_a_quiet_worker_still_writes_metrics(aws: EmbeddedAws, queue: Queue) -> None:
    worker = aws.start_worker(environment={"REMOTEJOB_LOG_LEVEL": "error"})
    try:
        job = queue.submit("say").wait(PATIENCE)
        # the worker's own end of it comes after the record's
        until(lambda: job.refresh().record.owed is None, what="the end of all that is owed")
        written = stopped(worker)
    finally:
        if worker.poll() is None:
            worker.kill()

    assert [line["message"] for line in written] == ["metrics"]
    (found,) = metrics(worker.log)
    assert found.sum("Completed") == 1
