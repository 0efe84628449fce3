"""What is printed, for people and through pipes, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from remotejob import BatchNotFound, Job, Queue, RemoteJob, Repeat, SettingsError, State
from remotejob.cli import formats
from remotejob.cli.common import put
from remotejob.cli.exit_codes import Exit, explain
from remotejob.cli.layout import whole
from remotejob.ports import Installation
from remotejob.testing import Simulation
from tests.cli.conftest import Run

LONG = "a-scan-with-a-name-that-goes-on-and-on-and-on-for-longer-than-a-terminal-is-wide-x.tiff"


def lines(jobs: list[Job], *, width: int, errors: bool = False) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(formats.table(jobs, width=width, errors=errors), crop=False)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def failed(queue: Queue, worker: Simulation) -> Job:
    job = queue.submit("work", data="fail")
    worker.step()
    assert job.refresh().state is State.FAILED
    return job


def test_narrow_terminal_has_no_bar(queue: Queue) -> None:
    _, row = lines([queue.submit("a-task-with-a-longer-name")], width=80)

    assert row.endswith(" a-task-with-a-longer-name")
    assert "0%" in row
    assert "━" not in row


@pytest.mark.parametrize("width", [40, 80])
def test_row_that_is_too_wide_is_shown_as_facts_with_whole_names(queue: Queue, width: int) -> None:
    job = queue.submit("a-task-with-a-longer-name", body=b"x", filename=LONG)

    shown = lines([job], width=width)

    assert shown == [
        f"job    {job.id}",
        "state  ready",
        "done     0%",
        f"input  {LONG}",
        "task   a-task-with-a-longer-name",
    ]


def test_line_to_copy_is_not_broken_by_a_narrow_terminal() -> None:
    line = f"export AWS_SECRET_ACCESS_KEY={'x' * 60}"
    console = Console(file=StringIO(), width=40, force_terminal=True)

    put(whole(Text(line)), console)

    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == f"{line}\n"


def test_wide_terminal_has_the_bar(queue: Queue) -> None:
    assert "━" in lines([queue.submit("work")], width=100)[1]


@pytest.mark.parametrize("width", [80, 200])
def test_error_stands_whole_below_its_job(queue: Queue, worker: Simulation, width: int) -> None:
    jobs = [failed(queue, worker), queue.submit("work")]

    header, first, *error, second = lines(jobs, width=width, errors=True)

    assert header.split() == ["job", "state", "done", "input", "task"]
    assert first.startswith(jobs[0].id)
    assert error == ["    ValueError: no such size", "    nor any other"]
    assert second.startswith(jobs[1].id)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_long_error_wraps_between_words_and_is_never_cut(
    queue: Queue, worker: Simulation, width: int
) -> None:
    key = "s3://bucket/" + "folder/" * 10 + "page.tiff"
    reason = "one reason of many words " * 7 + key
    job = queue.submit("work", data=reason)
    worker.step()

    shown = lines([job.refresh()], width=width, errors=True)

    assert key in "\n".join(shown)
    assert f"ValueError: {reason}" in " ".join(" ".join(shown).split())
    assert all(len(line) <= width for line in shown if key not in line)
    assert all(line.startswith("    ") for line in shown if "reason" in line)


def test_failed_and_the_jobs_of_a_batch_are_listed_with_their_errors(
    run: Run, worker: Simulation, tmp_path: Path
) -> None:
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text('"fail"\n')
    batch_id = run("map", "work", str(manifest)).stdout.strip()
    worker.step()

    for command in (("failed",), ("batch-jobs", batch_id)):
        assert "ValueError: no such size" in run(*command).stdout
    assert "ValueError" not in run("ls").stdout


def test_piped_values_are_whole_and_nothing_trails(run: Run, queue: Queue) -> None:
    queue.submit("work", body=b"x", filename=LONG)
    job = queue.submit("work", body=b"x", filename="b.tiff", data="word " * 400)

    listed, told = run("ls").stdout, run("show", job.id).stdout

    assert LONG in listed
    assert json.dumps(job.data) in told
    for line in (listed + told).splitlines():
        assert line == line.rstrip()


def test_colours_wanted_by_the_environment_break_no_values(
    run: Run, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    queue.submit("work", body=b"x", filename=LONG)

    assert LONG in run("ls").stdout


def test_put_ends_as_print_does(capsys: pytest.CaptureFixture[str]) -> None:
    put("one")
    put("two")

    assert capsys.readouterr().out == "one\ntwo\n"


def test_show_has_data_and_result_as_json(run: Run, queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work", data={"keep": True, "of": None})
    worker.step()

    told = run("show", job.id).stdout

    assert '{"keep": true, "of": null}' in told
    assert '{"größe": true, "of": null}' in told


def test_traceback_is_mentioned_and_shown(run: Run, queue: Queue, worker: Simulation) -> None:
    job = failed(queue, worker)

    assert f"remotejob show {job.id} --traceback" in run("show", job.id).stdout
    told = run("show", job.id, "--traceback").stdout
    assert told.startswith("Traceback (most recent call last)")
    first, *further = job.tracebacks()[-1].rstrip().split("\n")
    assert told.split("\n") == [first, *(f"    {line}" for line in further), ""]
    as_json = json.loads(run("show", job.id, "--traceback", "--json").stdout)
    assert as_json == {"id": job.id, "traceback": job.tracebacks()[-1]}


def test_job_without_a_traceback_says_so(run: Run, queue: Queue) -> None:
    job = queue.submit("work")

    done = run("show", job.id, "--traceback")

    assert done.stdout == ""
    assert "has no traceback" in done.stderr
    assert "--traceback" not in run("show", job.id).stdout


@pytest.mark.parametrize(
    ("rows", "told"), [("1\n2\n3\n", "made 3 jobs"), ("", "made 0 jobs: nothing under {path}")]
)
def test_map_says_how_many_jobs_it_made(run: Run, tmp_path: Path, rows: str, told: str) -> None:
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text(rows)

    done = run("map", "work", str(manifest))

    assert done.stderr == told.format(path=manifest) + "\n"
    assert done.stdout.startswith("b-")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", ["remove", "delete-failed"])
def test_removed_jobs_are_named(run: Run, queue: Queue, worker: Simulation, command: str) -> None:
    first, second = failed(queue, worker), failed(queue, worker)

    assert run(command, first.id).stdout == f"removed {first.id}\n"
    records = json.loads(run(command, second.id, "--json").stdout)
    assert (records[0] if isinstance(records, list) else records)["id"] == second.id


def test_unknown_batch_is_not_found_and_bad_settings_are_refused() -> None:
    assert explain(BatchNotFound("b-1"))[0] == Exit.NOT_FOUND
    assert explain(SettingsError("bad"))[0] == Exit.INVALID


def test_repeating_jobs_are_listed_with_their_schedules_and_due_times(queue: Queue) -> None:
    nightly = Repeat(schedule="every day at 09:30")
    repeating = queue.submit("work", repeat=nightly)
    plain = queue.submit("work")

    header, first, second = lines([repeating, plain], width=140)

    assert header.split()[-3:] == ["due", "(UTC)", "repeats"]
    assert f"{repeating.due_at:%Y-%m-%d} 09:30" in first
    assert "every day at 09:30" in first
    assert "09:30" not in second
    assert "repeats" not in lines([plain], width=140)[0]


def test_repeating_job_is_shown_with_what_is_next_and_how_the_last_run_ended(
    queue: Queue, worker: Simulation, run: Run
) -> None:
    repeat = Repeat(wait=timedelta(hours=1))
    job = queue.submit("work", data="fail", repeat=repeat)
    worker.step()
    following = job.refresh().next_job()
    assert following is not None
    assert following.due_at is not None

    shown = " ".join(run("show", job.id).stdout.split())
    assert f"next {following.id} (waiting, due {following.due_at.isoformat()}" in shown
    shown = " ".join(run("show", following.id).stdout.split())
    assert "previous run failed 2026-" in shown
    assert "ValueError: no such size" in shown
    told = json.loads(run("show", job.id, "--json").stdout)
    assert (told["next"], told["next_state"]) == (following.id, "waiting")
    assert told["next_due"] == following.due_at.isoformat()
    told = json.loads(run("show", following.id, "--json").stdout)
    assert told["previous"]["state"] == "failed"
    following.cancel()
    following.remove()
    assert f"next {following.id} (removed)" in " ".join(run("show", job.id).stdout.split())


def test_show_says_what_was_done_to_a_job_and_by_whom(run: Run, installation: Installation) -> None:
    job = RemoteJob(replace(installation, actor="ana@laptop")).queue().submit("work").pause()

    assert "info: paused (ana@laptop)" in run("show", job.id).stdout
    (line,) = json.loads(run("show", job.id, "--json").stdout)["log"]
    assert (line["message"], line["actor"]) == ("paused", "ana@laptop")
