"""Output that cannot be written, or not in the encoding of the stream."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from remotejob import Queue, RemoteJob, Retry, RunningJob
from remotejob.cli import main
from remotejob.cli.exit_codes import Exit
from remotejob.ports import Installation
from remotejob.testing import Simulation
from tests.sampling import some

COMMANDS = [
    ("ls", Exit.OK),
    ("ls --json", Exit.OK),
    ("show COMPLETE", Exit.OK),
    ("show FAIL --traceback", Exit.OK),
    ("failed", Exit.OK),
    ("why FAIL", Exit.OK),
    ("receipt FAIL", Exit.OK),
    ("wait COMPLETE", Exit.OK),
    ("wait FAIL", Exit.JOB_FAILED),
    ("wait FAIL --json", Exit.JOB_FAILED),
    ("submit work", Exit.OK),
    ("--help", Exit.OK),
    ("show --help", Exit.OK),
]
EVERY = pytest.mark.parametrize(("command", "code"), COMMANDS, ids=[name for name, _ in COMMANDS])
FULL = "/dev/full"
ENCODINGS = ["ascii", "latin-1", "cp1252"]


@dataclass(frozen=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str


Shell = Callable[..., Done]


@pytest.fixture
def shell(
    installation: Installation, queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    """Runs a command as its entry point does; files stand for the two standard streams."""
    worker = Simulation(installation=installation, worker="w1")

    @worker.tasks.task("work", retry=Retry(max_attempts=1))
    def work(job: RunningJob) -> object:
        job.log("größe 写真 😀")
        if job.data == "fail":
            raise ValueError("größe 写真 😀")
        job.output("写真.png", b"x")
        return {"größe": "写真 😀"}

    ids = {}
    for data in ("complete", "fail"):
        job = queue.submit("work", data=data, body=b"x", filename="é 写真.tiff")
        ids[data.upper()] = job.id
        worker.step()
    monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: RemoteJob(installation))

    def stream(target: str | int | None, encoding: str) -> io.TextIOWrapper | None:
        return None if target is None else open(target, "w", encoding=encoding)  # noqa: PTH123

    def shell(
        command: str,
        *,
        out: str | int | None = str(tmp_path / "out"),
        err: str | int | None = str(tmp_path / "err"),
        encoding: str = "utf-8",
    ) -> Done:
        streams = stream(out, encoding), stream(err, encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["remotejob", *(ids.get(w, w) for w in command.split())])
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            with pytest.raises(SystemExit) as ended:
                main()
        # as Python does at its end, where a failure would change the exit code
        for one in streams:
            if one is not None:
                one.close()
        read = {name: tmp_path / name for name in ("out", "err")}
        texts = {
            name: path.read_bytes().decode(encoding) if path.exists() else ""
            for name, path in read.items()
        }
        assert isinstance(ended.value.code, int)
        return Done(code=ended.value.code, **texts)

    return shell


@EVERY
@pytest.mark.parametrize("encoding", some([*ENCODINGS, "utf-8"], every=2))
def test_output_is_escaped_where_the_encoding_lacks_a_letter(
    shell: Shell, command: str, code: Exit, encoding: str
) -> None:
    done = shell(command, encoding=encoding)

    assert (done.code, done.err) == (code, "")
    if "--json" in command:
        read = json.loads(done.out)
        job = next(one for one in read if one["input"]) if isinstance(read, list) else read
        assert job["input"]["name"] == "é 写真.tiff"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_letter_that_an_encoding_has_is_shown(shell: Shell, encoding: str) -> None:
    row = shell("ls", encoding=encoding).out.splitlines()[1]

    shown = r"\xe9" if encoding == "ascii" else "é"
    assert rf"{shown} \u5199\u771f.tiff" in row


@EVERY
def test_full_disk_is_exit_6_with_one_line(shell: Shell, command: str, code: Exit) -> None:
    done = shell(command, out=FULL)

    assert done.code == Exit.TROUBLE
    (line,) = done.err.splitlines()
    assert line.startswith("remotejob: cannot write to standard output (No space left on device)")


@EVERY
def test_closed_output_is_exit_6_with_one_line(shell: Shell, command: str, code: Exit) -> None:
    done = shell(command, out=None)

    assert done.code == Exit.TROUBLE
    (line,) = done.err.splitlines()
    assert "Bad file descriptor" in line


@EVERY
def test_reader_that_has_ended_is_exit_6_without_a_word(
    shell: Shell, command: str, code: Exit
) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = shell(command, out=writing)

    assert (done.code, done.err) == (Exit.TROUBLE, "")


@EVERY
@pytest.mark.parametrize("err", [FULL, None])
def test_lost_error_output_leaves_the_exit_code(
    shell: Shell, command: str, code: Exit, err: str | None
) -> None:
    assert shell(command, err=err).code == code


@pytest.mark.parametrize("lost", [FULL, None])
def test_both_outputs_lost_is_exit_6(shell: Shell, lost: str | None) -> None:
    assert shell("wait FAIL", out=lost, err=lost).code == Exit.TROUBLE


@pytest.mark.parametrize("lost", [FULL, None])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("show nonsense", Exit.INVALID),
        ("ls --colour", Exit.INVALID),
        ("show 01ARZ3NDEKTSV4RRFFQ69G5FAV", Exit.NOT_FOUND),
    ],
)
def test_refused_command_keeps_its_exit_code(
    shell: Shell, command: str, code: Exit, lost: str | None
) -> None:
    assert shell(command, out=lost).code == code
    assert shell(command, err=lost).code == code


@pytest.mark.parametrize(
    ("redirected", "code", "lines"),
    [
        (f">{FULL}", Exit.TROUBLE, 1),
        (">&-", Exit.TROUBLE, 1),
        (f">{FULL} 2>&1", Exit.TROUBLE, 0),
        (f"2>{FULL}", Exit.OK, 0),
    ],
)
def test_lost_output_of_a_whole_process(redirected: str, code: Exit, lines: int) -> None:
    script = f'"$0" -m remotejob --help {redirected}'

    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert len(done.stderr.splitlines()) == lines


def test_plain_c_locale_is_no_obstacle() -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    done = subprocess.run(
        [sys.executable, "-m", "remotejob", "ls", "é写\udc9b"],
        env={**os.environ, **plain},
        capture_output=True,
        check=False,
    )

    assert done.returncode == Exit.INVALID
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"remotejob: Got unexpected extra argument")
    assert line.isascii()
