"""Waiting is not blind: the id at once, why nothing happens, and what Ctrl-C leaves."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from remotejob import Queue
from remotejob.cli import waiting
from remotejob.cli.exit_codes import Exit, explain
from remotejob.domain.errors import WaitTimeout
from remotejob.testing import FakeClock, Simulation
from tests.cli.conftest import Run


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error is a terminal."""
    made = Terminal()
    console = Console(file=made, force_terminal=True, width=100)
    monkeypatch.setattr(waiting, "err", console)
    return made


@pytest.fixture
def working(clock: FakeClock, worker: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes its step whenever somebody sleeps."""

    def sleep(span: timedelta) -> None:
        clock.advance(span)
        worker.step()

    monkeypatch.setattr(clock, "sleep", sleep)


@pytest.fixture
def interrupted(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as soon as somebody sleeps."""

    def sleep(_: timedelta) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", sleep)


@pytest.mark.usefixtures("working")
def test_submit_says_the_id_before_it_waits(run: Run, queue: Queue) -> None:
    done = run("submit", "work", "--wait")

    (job,) = queue.jobs()
    assert done.stderr == f"{job.id}\n"
    assert "completed" in done.stdout


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize("command", ["submit", "wait"])
def test_interrupted_wait_says_that_the_job_goes_on(run: Run, queue: Queue, command: str) -> None:
    job_id = queue.submit("work").id if command == "wait" else None
    arguments = ("wait", job_id) if job_id else ("submit", "work", "--wait")

    done = run(*arguments, code=Exit.INTERRUPTED)

    job_id = job_id or queue.jobs()[0].id
    assert done.stderr.splitlines()[-1] == (
        f"job {job_id} continues; to wait again: remotejob wait {job_id}"
    )


@pytest.mark.usefixtures("interrupted")
def test_interrupted_wait_for_a_batch_says_that_it_goes_on(run: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text("1\n2\n")

    done = run("map", "work", str(manifest), "--wait", code=Exit.INTERRUPTED)

    batch_id, made, goes_on = done.stderr.splitlines()
    assert made == "made 2 jobs"
    assert goes_on == (
        f"batch {batch_id} continues; to wait again: remotejob batch {batch_id} --wait"
    )


def test_why_it_does_not_start_is_said_once(
    queue: Queue, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    job = queue.submit("work").pause()

    with pytest.raises(WaitTimeout) as timeout:
        waiting.wait_for_job(job, 60)

    assert capsys.readouterr().err == f"{job.why().text}\n"
    assert clock.monotonic() == pytest.approx(60, abs=0.01)
    assert explain(timeout.value)[1] == f"job {job.id} is still paused after 60 s"


def test_nothing_is_said_of_a_short_wait(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    job = queue.submit("work").pause()

    with pytest.raises(WaitTimeout, match="after 4 s"):
        waiting.wait_for_job(job, 4)

    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("working")
def test_terminal_shows_what_is_waited_for(queue: Queue, terminal: Terminal) -> None:
    job = waiting.wait_for_job(queue.submit("work"), None)

    assert f"job {job.id}" in terminal.getvalue()
    assert "completed" in terminal.getvalue()
