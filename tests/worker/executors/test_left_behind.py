"""What a job leaves behind in its process does not reach the next."""

from __future__ import annotations

import pytest

from remotejob import State
from tests.worker.executors.conftest import Done
from tests.worker.executors.work import CHANGES

REPLACED = ("thread", "program")
OF_A_PROCESS = ("handler", "mask")
# of each job itself: nothing is said
QUIET = ("decimal", "variable", "start method")


@pytest.mark.parametrize("what", CHANGES)
def test_the_next_job_of_a_process_finds_it_as_the_first_did(
    done: Done, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    before = done("change", what=what, leave=False).result
    pid = done("pid").result
    left = done("change", what=what, leave=True)
    assert left.state is State.COMPLETED, left.errors
    after = done("change", what=what, leave=False)
    assert after.state is State.COMPLETED, after.errors
    assert after.result == before
    assert (done("pid").result == pid) is (what not in REPLACED)
    said = [line for line in caplog.messages if line.startswith("task own-process ")]
    assert len(said) == (what not in QUIET), said


@pytest.mark.parametrize(
    "what", [what for what in CHANGES if what not in (*REPLACED, *OF_A_PROCESS)]
)
def test_the_next_job_of_a_thread_finds_it_as_the_first_did(
    done: Done, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    before = done("change", task="in-thread", what=what, leave=False).result
    left = done("change", task="in-thread", what=what, leave=True)
    assert left.state is State.COMPLETED, left.errors
    after = done("change", task="in-thread", what=what, leave=False)
    assert after.state is State.COMPLETED, after.errors
    assert after.result == before
    said = [line for line in caplog.messages if line.startswith("task in-thread ")]
    assert len(said) == (what not in QUIET), said
