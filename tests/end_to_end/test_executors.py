"""A real worker whose task runs in a process of its own, without the worker's credentials."""

from __future__ import annotations

import pytest

from remotejob import Queue, State
from remotejob.local.workers import Worker
from tests.end_to_end.waiting import PATIENCE, end_polls, given_back, until
from tests.worker.executors.scenes import lives, until_gone


@pytest.mark.exhaustive
@pytest.mark.usefixtures("exported")
def test_tasks_in_processes_work_die_and_are_killed_and_the_worker_goes_on(
    queue: Queue, worker: Worker
) -> None:
    content = bytes(range(256)) * 10_000
    first = queue.submit("work_apart", body=content)
    first.wait(PATIENCE)
    assert first.state is State.COMPLETED, first.errors
    assert first.outputs["copy"].open().read() == content
    assert first.result["credentials"] == "None"
    assert first.result["pid"] != worker.pid

    dying = queue.submit("work_apart", data="die")
    dying.wait(PATIENCE)
    assert [(one.kind, one.message) for one in dying.errors] == [
        ("ProcessDied", "the process of the task ended with signal 11 (SIGSEGV)")
    ]
    assert dying.record.crashes == 0
    until_gone([first.result["pid"]])

    ignoring = queue.submit("work_apart", data="ignore")
    until(lambda: ignoring.refresh().state is State.RUNNING, what="the run's beginning")
    ignoring.cancel()
    last = queue.submit("work_apart", body=b"abc")
    last.wait(PATIENCE)
    assert last.result["size"] == 3
    assert lives(last.result["pid"])

    worker.terminate()
    until(lambda: "worker drains" in worker.log.read_text(), what="that it drains")
    others = end_polls(queue)
    assert worker.wait(PATIENCE) == 0
    assert given_back(others)
    until_gone([last.result["pid"]])
    assert ignoring.refresh().state is State.CANCELLED
