"""`remotejob run`: a task in this process, on a file or on the input of a past job."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import Job, RemoteJob, Retry, State, tasks
from remotejob.cli.app import run as run_command
from remotejob.cli.exit_codes import Exit
from remotejob.client.one_run import OneRun
from remotejob.ports import Area, Installation
from remotejob.tasks.task import Task
from remotejob.testing import Simulation

SETTINGS = """
[queues.default]
tasks = ["work", "other", "awaited", "apart", "endless", "tells"]
tasks_module = "scanning"
environment = { MODE = "fast", PLACE = "cellar" }
secrets = { OCR_KEY = { parameter = "/scans/ocr-key" } }
[queues.broken]
tasks = ["from-nowhere"]
tasks_module = "nowhere.tasks"
[queues.one]
tasks = ["twice"]
tasks_module = "scanning"
[queues.two]
tasks = ["twice"]
tasks_module = "other_module"
"""
MODULE = """
import os
import time
from datetime import timedelta
from remotejob import AsyncRunningJob, Fatal, Process, Retry, RunningJob, task

MODE = os.environ.get("MODE")

@task("work", retry=Retry(max_attempts=3, wait=timedelta(seconds=30)))
def work(job: RunningJob) -> object:
    print("printed")
    for done in range(40):
        job.progress(done + 1, 40)
    job.log("[bold] is no markup here", data={"page": 1})
    if job.input is not None:
        job.output("copy/of it", job.download())
    if job.data == "fail":
        try:
            int("x")
        except ValueError as reason:
            raise RuntimeError("no such size") from reason
    if job.data == "fatal":
        raise Fatal("never")
    if job.data == "set":
        return {1}
    return {"size": 3, "attempt": job.attempt, "resumed": job.resumed_from}

@task("awaited")
async def awaited(job: AsyncRunningJob) -> str:
    await job.checkpoint("half")
    return "awaited"

@task("apart", timeout=timedelta(microseconds=1), runs_in=Process(memory_mib=128))
def apart(job: RunningJob) -> None:
    pass

@task("tells")
def tells(job: RunningJob) -> list[str]:
    return [MODE, os.environ["PLACE"], os.environ["OCR_KEY"]]

@task("endless")
def endless(job: RunningJob) -> None:
    print("begun", flush=True)
    while True:
        time.sleep(0.01)
        job.check()
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder, and no task registered elsewhere."""
    root = tmp_path / "my scans"
    (root / "deeper").mkdir(parents=True)
    (root / "remotejob.toml").write_text(SETTINGS)
    (root / "scanning.py").write_text(MODULE)
    (root / "secrets.local.toml").write_text('OCR_KEY = "hush"')
    (root / "a.txt").write_text("a body")
    monkeypatch.chdir(root)
    for name in ("MODE", "PLACE", "OCR_KEY"):
        # what a run sets is gone again after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(tasks.registry, "_tasks", {})
    yield root
    for name in ("scanning", "broken"):
        sys.modules.pop(name, None)


def run(*arguments: str, data: object = None) -> Done:
    out, err = io.StringIO(), io.StringIO()
    given = () if data is None else ("--data", json.dumps(data))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["remotejob", "run", *arguments, *given])
        code = run_command()
    # each run is another process
    tasks.registry._tasks.clear()
    sys.modules.pop("scanning", None)
    return Done(code=code, out=out.getvalue(), err=err.getvalue())


def process(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "remotejob", "run", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.devnull},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fails(job: object) -> None:
    raise ValueError


PLAIN = Task(name="work", function=lambda job: None)


def one_line(done: Done) -> str:
    (line,) = done.err.splitlines()
    assert done.code == Exit.INVALID
    return line.removeprefix("remotejob: ")


def test_a_task_runs_on_a_file_and_shows_all_it_says(project: Path) -> None:
    done = run("work", "a.txt")

    shown = done.out.splitlines()
    assert done.code == Exit.OK
    assert shown[0] == "printed"
    assert shown[1:11] == [f"progress: {done} of 40" for done in range(4, 41, 4)]
    assert shown[11:] == [
        'info: [bold] is no markup here {"page": 1}',
        "output copy/of it, 6 bytes: build/run/copy/of it",
        'result: {"size": 3, "attempt": 1, "resumed": null}',
    ]
    assert done.err.startswith("work completed after ")
    assert Path("build/run/copy/of it").read_text() == "a body"


def test_the_project_is_found_from_a_folder_below_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("deeper")
    assert run("work", "../a.txt").code == Exit.OK
    # a second run writes over the outputs of the first
    assert run("work", "../a.txt").code == Exit.OK
    assert (project / "build/run/copy/of it").is_file()


def test_json_is_all_that_is_on_standard_output(project: Path) -> None:
    done = run("work", "a.txt", "--json", "--filename", "b.txt", "--out", "here")

    shown = json.loads(done.out)
    assert done.code == Exit.OK
    assert done.err == "printed\n"
    assert shown["result"] == {"size": 3, "attempt": 1, "resumed": None}
    assert shown["outputs"] == [{"name": "copy/of it", "size": 6, "path": "here/copy/of it"}]
    assert shown["log"] == [
        {"level": "info", "message": "[bold] is no markup here", "data": {"page": 1}}
    ]
    assert shown["progress"] == {"done": 40, "total": 40}
    assert (shown["state"], shown["retry_in_s"]) == ("completed", None)


def test_a_folder_that_was_named_is_not_written_over(project: Path) -> None:
    assert run("work", "a.txt", "--out", "here").code == Exit.OK
    refused = run("work", "a.txt", "--out", "here")
    assert refused.code == Exit.INVALID
    assert "here/copy/of it exists already" in refused.err
    assert run("work", "a.txt", "--out", "here", "--force").code == Exit.OK


def test_an_error_is_shown_with_the_users_own_frames_and_what_a_worker_would_do(
    project: Path,
) -> None:
    done = run("work", "a.txt", data="fail")

    assert done.code == Exit.JOB_FAILED
    frames = [line.strip() for line in done.err.splitlines() if "File" in line]
    assert [frame.split(", ")[0] for frame in frames] == [f'File "{project}/scanning.py"'] * 2
    assert "direct cause" in done.err
    assert "RuntimeError: no such size" in done.err
    assert done.err.splitlines()[-1].startswith("work failed after ")
    assert done.err.endswith("; a worker would run it again in 30 s\n")
    assert Path("build/run/copy/of it").is_file()


def test_a_fatal_error_is_not_retried(project: Path) -> None:
    done = run("work", data="fatal")

    assert done.code == Exit.JOB_FAILED
    assert done.err.endswith(": the error is fatal\n")


def test_a_result_that_cannot_be_kept_fails_the_run(project: Path) -> None:
    done = run(
        "work",
        data="set",
    )

    assert done.code == Exit.JOB_FAILED
    assert "InvalidData: the result cannot be written as JSON" in done.err
    shown = json.loads(run("work", "--json", data="set").out)
    assert (shown["state"], shown["retry_in_s"]) == ("waiting", 30.0)
    assert shown["traceback"].startswith("Traceback")


def test_a_secret_without_a_value_is_refused_unless_the_shell_has_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "secrets.local.toml").unlink()
    line = one_line(run("tells"))
    assert line.startswith("[queues.default.secrets]: OCR_KEY (parameter /scans/ocr-key) has no")
    assert f"into {project}/secrets.local.toml" in line

    monkeypatch.setenv("OCR_KEY", "of the shell")
    assert 'result: ["fast", "cellar", "of the shell"]' in run("tells").out


def test_a_task_finds_the_variables_of_its_queue(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "attic")
    assert 'result: ["fast", "attic", "hush"]' in run("tells").out


def test_a_task_runs_here_wherever_a_worker_runs_it(project: Path) -> None:
    assert 'result: "awaited"' in run("awaited").out

    apart = run("apart")
    first, last = apart.err.splitlines()
    assert apart.code == Exit.OK
    assert first.endswith("in this process, without a process of its own, its limit of 128 MiB")
    assert "; a worker would have stopped it after 0.0 s, its timeout" in last


class TestPastJobs:
    @pytest.fixture(autouse=True)
    def _connected(self, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: RemoteJob(installation))

    @pytest.fixture
    def failed(self, project: Path, installation: Installation) -> Job:
        """A job in its second attempt of three, whose input was overwritten since."""
        worker = Simulation(installation=installation)

        @worker.tasks.task("work", retry=Retry(max_attempts=3, wait=timedelta(0)))
        def work(job: object) -> None:
            raise ValueError

        job = RemoteJob(installation).queue().submit("work", body=b"as it was", data="fail")
        worker.step()
        worker.step()
        assert job.input is not None
        installation.files.put(Area.INPUT, job.input.key, b"another one")
        return job.refresh()

    def test_a_past_job_runs_on_the_data_and_the_input_it_had(
        self, failed: Job, installation: Installation
    ) -> None:
        before = failed.record
        done = run("work", failed.id)

        assert done.code == Exit.JOB_FAILED
        assert done.err.endswith("; a worker would run it again in 30 s\n")
        assert Path("build/run/copy/of it").read_text() == "as it was"
        assert failed.refresh().record == before
        assert len(RemoteJob(installation).jobs()) == 1

    def test_the_last_attempt_of_a_job_is_its_last_here(
        self, failed: Job, installation: Installation
    ) -> None:
        last = replace(failed.record, attempt=3, failures=3, state=State.FAILED)
        assert OneRun(Job(last, installation), PLAIN).run().job.state is State.COMPLETED
        failing = replace(PLAIN, function=fails, retry=Retry(max_attempts=3))
        assert OneRun(Job(last, installation), failing).run().job.state is State.FAILED
        assert OneRun(failed, failing).run().job.state is State.WAITING

    def test_other_data_replaces_that_of_the_job(self, failed: Job) -> None:
        done = run("work", failed.id, data="well")

        assert done.code == Exit.OK
        assert 'result: {"size": 3, "attempt": 2, "resumed": null}' in done.out

    def test_a_job_is_refused_another_name_for_its_input(self, failed: Job) -> None:
        assert "a job's input has a name" in one_line(run("work", failed.id, "--filename", "x"))

    def test_a_file_may_have_the_name_of_a_job(self, failed: Job) -> None:
        Path(failed.id).write_text("a file")
        assert run("work", failed.id).code == Exit.OK
        assert Path("build/run/copy/of it").read_text() == "a file"

    def test_a_job_of_a_queue_that_is_unknown_here_runs_too(
        self, failed: Job, project: Path
    ) -> None:
        settings = (project / "remotejob.toml").read_text()
        (project / "remotejob.toml").write_text(settings.replace("queues.default", "queues.new"))
        assert run("work", failed.id, data=1).code == Exit.OK


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nope",), "unknown task 'nope': the queues in {root}/remotejob.toml run apart, awaited"),
        (("other",), "module 'scanning' registers no task 'other' (it registers apart, awaited"),
        (
            ("from-nowhere",),
            "{root}/remotejob.toml: tasks_module = 'nowhere.tasks' of [queues.broken]: there is no "
            "module 'nowhere' in {root}; make it",
        ),
        (("twice",), "from the modules other_module, scanning; name one of these with --tasks"),
        (("work", "none.txt"), "'none.txt' is not a file: no such file; check the path"),
        (("work", "a.txt", "--data", "{"), "is not JSON"),
        (("work", "a.txt", "--pdb", "--json"), "the debugger needs the output"),
        (("work", "-", "--pdb"), "the debugger reads standard input"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_run_is_refused_in_one_line(
    project: Path, arguments: tuple[str, ...], told: str
) -> None:
    assert told.format(root=project) in one_line(run(*arguments))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "import no_such_package",
            "broken.py:1: ModuleNotFoundError: No module named 'no_such_pack",
        ),
        ("import no_such_package", "; install no_such_package here (imported by --tasks 'broken')"),
        ("\n\ndef f(:", "broken.py:3: SyntaxError: invalid syntax"),
        ("x = 1\ny = {}['a']", "broken.py:2: KeyError: 'a'; correct it"),
        ("raise SystemExit(3)", "broken.py:1: SystemExit: 3"),
        ("import json; json.loads('')", "broken.py:1: JSONDecodeError: Expecting value"),
    ],
)
def test_an_import_that_fails_is_shown_with_its_place(
    project: Path, source: str, told: str
) -> None:
    (project / "broken.py").write_text(source)

    line = one_line(run("work", "--tasks", "broken"))
    assert line.startswith("broken.py:")
    assert told in line


def test_outside_of_a_project_a_module_must_be_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "remotejob.toml").unlink()
    assert "no remotejob.toml in" in one_line(run("work", "a.txt"))
    assert run("work", "a.txt", "--tasks", "scanning").code == Exit.OK


def test_the_debugger_starts_where_the_task_raised(project: Path) -> None:
    with process("work", "a.txt", "--data", '"fail"', "--pdb") as debugged:
        out, err = debugged.communicate("p job.data, job.filename\nq\n", timeout=60)

    assert debugged.returncode == Exit.JOB_FAILED
    assert "-> raise RuntimeError" in out
    assert "('fail', 'a.txt')" in out
    assert err.endswith("; a worker would run it again in 30 s\n")


def test_ctrl_c_cancels_the_job_as_a_command_would(project: Path) -> None:
    with process("endless") as endless:
        assert endless.stdout is not None
        assert endless.stdout.readline() == "begun\n"
        endless.send_signal(signal.SIGINT)
        _, err = endless.communicate(timeout=60)

    first, last = err.splitlines()
    assert endless.returncode == Exit.INTERRUPTED
    assert first.startswith("cancelling: the task stops at its next call of the job")
    assert last.startswith("endless was cancelled after ")
