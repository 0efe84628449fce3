"""What others wrote is shown, and neither obeyed by the terminal nor taken for ours."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from remotejob import Job, Queue, Retry, RunningJob
from remotejob.cli.app import run as run_command_line
from remotejob.cli.exit_codes import Exit
from remotejob.cli.visible import json_text, visible
from remotejob.ports import Installation
from remotejob.testing import Simulation
from remotejob.worker.lifecycle.presence import Presence
from tests.cli.conftest import Run

Told = Callable[..., str]

CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HIDDEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u2028\u2029\ufff9\u0378\ue000\U000e0041\u3164\u115f"
FORGED = "job        01ARZ3NDEKTSV4RRFFQ69G5FAV"
MARKUP = "[red]x[bold] [link=x]y :smile:"
HOSTILE = f"a{BIDI}{HIDDEN}[red]x[bold] [link=x]y"
"""What a name may have."""
WORSE = f"{CONTROLS}{HOSTILE}{MARKUP}\n{FORGED}\r\nremotejob: all is well"
"""What a text may have."""


def assert_harmless(shown: str) -> None:
    unsafe = {
        letter
        for letter in shown
        if letter != "\n"
        and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    }
    assert not unsafe, ascii(unsafe)
    assert not {"\u3164", "\u115f"} & set(shown)
    assert not any(line.startswith((FORGED, "remotejob:")) for line in shown.splitlines())


@pytest.fixture
def hostile(installation: Installation) -> Simulation:
    simulation = Simulation(installation=installation, worker=f"w{HOSTILE}")

    @simulation.tasks.task("work", retry=Retry(max_attempts=1))
    def work(job: RunningJob) -> object:
        job.log(WORSE)
        if job.data == "fail":
            raise ValueError(WORSE)
        job.output(HOSTILE, b"x")
        return {HOSTILE: WORSE}

    return simulation


def submitted(queue: Queue, data: object = None) -> Job:
    return queue.submit("work", data=data, body=b"x", filename=HOSTILE, resource=HOSTILE)


@pytest.fixture
def jobs(queue: Queue, hostile: Simulation) -> tuple[Job, Job]:
    """One that completed, one that failed."""
    completed, failed = submitted(queue, {"of": WORSE}), submitted(queue, "fail")
    hostile.step()
    hostile.step()
    return completed.refresh(), failed.refresh()


@pytest.mark.parametrize(
    "command",
    [
        ("ls",),
        ("failed",),
        ("show", "COMPLETED"),
        ("show", "FAILED"),
        ("wait", "COMPLETED"),
        ("show", "FAILED", "--traceback"),
        ("why", "FAILED"),
        ("why", "COMPLETED"),
        ("receipt", "FAILED"),
        ("workers",),
        ("restart", "FAILED"),
    ],
    ids=" ".join,
)
def test_untrusted_text_is_made_visible_in_every_command(
    run: Run, installation: Installation, jobs: tuple[Job, Job], command: tuple[str, ...]
) -> None:
    completed, failed = jobs
    Presence(
        installation,
        worker=HOSTILE,
        queue="default",
        abilities=("work", HOSTILE),
        concurrency=1,
        running=list,
    ).give_if_due(lambda sign: sign())
    ids = {"COMPLETED": completed.id, "FAILED": failed.id}

    done = run(*(ids.get(word, word) for word in command))

    assert done.output
    assert_harmless(done.output)


def test_untrusted_text_is_visible_and_whole(run: Run, jobs: tuple[Job, Job]) -> None:
    shown = run("show", jobs[1].id).stdout

    for escape in (r"\x1b", r"\x9b", r"\x7f", r"\u202e", r"\u2066", r"\u200b", r"\ue000"):
        assert escape in shown
    assert MARKUP in shown
    assert f"           {FORGED}\n" in shown, "further lines are indented"


def test_untrusted_names_of_a_batch_are_made_visible(
    run: Run, queue: Queue, hostile: Simulation, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('"fail"\n')
    made = run("map", "work", str(rows), "--name", HOSTILE + MARKUP)
    hostile.step()

    for command in ("batch", "batch-jobs"):
        shown = run(command, made.stdout.strip()).output
        assert_harmless(shown)
        assert MARKUP in shown


def test_json_escapes_every_control_and_parses_to_the_same_value(
    run: Run, jobs: tuple[Job, Job]
) -> None:
    for job in jobs:
        for command in (
            ("show", job.id),
            ("ls",),
            ("why", job.id),
            ("show", job.id, "--traceback"),
        ):
            shown = run(*command, "--json").stdout
            assert_harmless(shown)
            json.loads(shown)
    record = json.loads(run("show", jobs[1].id, "--json").stdout)
    assert record["errors"][0]["message"] == jobs[1].errors[0].message
    assert record["input"]["name"] == jobs[1].filename


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA1), *map(ord, BIDI + HIDDEN)])
def test_json_of_each_letter_is_safe_and_the_same(code: int) -> None:
    value = {f"key {chr(code)}": [f"a{chr(code)}b", chr(0xD800), "größe 写真 😀"]}

    for encoding in ("utf-8", "ascii", "cp1252"):
        text = json_text(value, encoding, indent=2)
        assert_harmless(text)
        assert json.loads(text.encode(encoding).decode(encoding)) == value


def test_harmless_text_is_shown_as_it_is() -> None:
    for text in ("größe 写真 مرحبا नमस्ते 😀 ❤️ e\u0301", r"C:\x [a] {b} 'c'", "two\nlines"):
        assert visible(text) == text


@pytest.fixture
def told(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs a command that is refused, and returns its error output."""

    def told(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["remotejob", *arguments])
        assert run_command_line() == Exit.INVALID
        return capsys.readouterr().err

    return told


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", HOSTILE),
        ("show", "01ARZ3NDEKTSV4RRFFQ69G5FAV", HOSTILE),
        (f"no-such{HOSTILE}",),
        ("ls", f"--colour{HOSTILE}"),
        ("ls", "--state", WORSE[1:]),
        ("ls", "--limit", WORSE[1:]),
        ("submit", HOSTILE),
        ("submit", "work", "--data", WORSE[1:]),
        ("submit", "work", "--queue", HOSTILE),
        ("submit", "work", HOSTILE),
        ("batch", HOSTILE),
    ],
    ids=lambda arguments: arguments[0][:6],
)
def test_error_line_makes_arguments_visible(told: Told, arguments: tuple[str, ...]) -> None:
    first, *further = told(*arguments).splitlines()

    assert first.startswith("remotejob: ")
    assert_harmless("\n".join([first.removeprefix("remotejob: "), *further]))


def test_usage_error_is_one_line_that_names_the_help(told: Told) -> None:
    assert told("ls", "--colour") == (
        "remotejob: No such option: --colour; see remotejob ls --help\n"
    )
