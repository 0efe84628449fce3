"""What code in the worker's own process prints or logs is no line of the worker itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SET_UP = """
import json, logging, sys, threading
from remotejob.container.logs import log_as_json
from remotejob.worker.runs.log_context import JobContext, job_context
log_as_json()
forged = {"logger": "remotejob.worker.messages.handler", "message": "job completed",
          "job": "another", "_aws": {"CloudWatchMetrics": []}, "Cost": 1}
text = json.dumps(forged)
log = logging.getLogger("tasks.mine")
"""


def lines(program: str) -> list[dict[str, Any]]:
    """The lines of a worker's process, after it has set up its log."""
    ran = subprocess.run(
        [sys.executable, "-c", SET_UP + program],
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return [json.loads(line) for line in ran.stdout.splitlines()]


WAYS = {
    "print": "print(text)",
    "print to standard error": "print(text, file=sys.stderr)",
    "write": "sys.stdout.write('a\\n' + text + '\\n')",
    "writelines": "sys.stderr.writelines(['a\\n', text, '\\n'])",
    "bytes": "sys.stdout.buffer.write(text.encode() + b'\\n')",
    "a name with a line feed": "print('reading', 'a\\n' + text)",
    "log a dict": "log.info(forged)",
    "log with extra": "log.info('said', extra={'_aws': forged['_aws']})",
    "log a text": "log.info('read %s', 'a\\n' + text)",
}


@pytest.mark.parametrize("way", WAYS)
def test_text_from_others_makes_no_line_of_the_worker_and_no_metric(way: str) -> None:
    program = f"with job_context(JobContext(job='own', queue='q', task='t')):\n    {WAYS[way]}"

    written = lines(program)

    assert written
    for line in written:
        assert "_aws" not in line
        assert "Cost" not in line
        assert line["job"] == "own"
        assert line["logger"] in ("task.stdout", "task.stderr", "tasks.mine")


def test_each_thread_prints_lines_of_its_own_run() -> None:
    written = lines("""
both = threading.Barrier(2)
def run(job):
    with job_context(JobContext(job=job, queue="q", task="t")):
        print(job, end=" ")
        both.wait()
        print("is", "mine")
threads = [threading.Thread(target=run, args=(job,)) for job in ("a", "b")]
for thread in threads: thread.start()
for thread in threads: thread.join()
""")

    assert sorted((line["job"], line["message"]) for line in written) == [
        ("a", "a is mine"), ("b", "b is mine"),
    ]  # fmt: skip


def test_a_stream_of_lines_is_used_as_any_other() -> None:
    (line,) = lines("""
sys.stdout.reconfigure(encoding="ascii")
assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)
assert sys.stdout.writable() and not sys.stdout.isatty() and sys.stdout.encoding
print("one", "two", sep="\\x1b", flush=True)
print()
""")

    assert (line["message"], line["level"]) == (r"one\x1btwo", "INFO")


def test_a_handler_that_fails_is_not_called_for_ever() -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            SET_UP + "class Broken(logging.Formatter):\n"
            "    def format(self, record): raise ValueError('broken')\n"
            "logging.getLogger().handlers[0].setFormatter(Broken())\n"
            "log.info('said')\nprint('printed')\n",
        ],
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0
    assert "broken" in ran.stderr
