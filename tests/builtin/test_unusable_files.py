"""A file that a built-in task cannot use is never tried again."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Queue, Retry, RunningJob, State
from remotejob.builtin import get_hrefs, pluck_data, targz, untar, word_count
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import Simulation

RANDOM = random.Random(0).randbytes(5000)


def _tar() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        info = tarfile.TarInfo("a.txt")
        info.size = len(RANDOM)
        made.addfile(info, io.BytesIO(RANDOM))
    return raw.getvalue()


BODIES = {
    "random": RANDOM,
    "nulls": bytes(5000),
    "one byte": b"\xff",
    "not UTF-8": b"caf\xe9 " * 100,
    "half a character": b"abc \xe2\x82",
    "UTF-16": "text".encode("utf-16"),
    "HTML of unknown bytes": b"<html><meta charset=utf-8><a href='\xff\xfe'>" + RANDOM,
    "a charset nobody knows": b"<meta charset=klingon><a href=x>",
    "gzip cut short": gzip.compress(_tar())[:2000],
    "bzip2 cut short": bz2.compress(_tar())[:2000],
    "xz cut short": lzma.compress(_tar())[:2000],
    "tar cut short": _tar()[:2000],
    "damaged gzip": gzip.compress(_tar())[:300] + b"x" * 300 + gzip.compress(_tar())[600:],
    "zip": b"PK\x03\x04" + RANDOM,
    "encrypted zip": b"PK\x03\x04\x14\0\x01\0" + RANDOM,
    "PDF": b"%PDF-1.7\n" + RANDOM + b"/Encrypt",
}
TASKS: dict[str, tuple[Callable[[RunningJob], Any], Any]] = {
    "untar": (untar, None),
    "targz": (targz, None),
    "word_count": (word_count, None),
    "get_hrefs": (get_hrefs, {"url": "https://example.com/"}),
    "pluck_data": (pluck_data, {"selectors": {"title": "title"}}),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("body", BODIES)
def test_file_that_cannot_be_used_is_not_tried_again(
    queue: Queue, installation: Installation, tasks: Registry, task: str, body: str
) -> None:
    function, data = TASKS[task]
    tasks.task("work", retry=Retry(max_attempts=3, wait=timedelta(seconds=1)))(function)
    job = queue.submit("work", body=BODIES[body], filename="file", data=data)

    Simulation(installation=installation, tasks=tasks).step()

    assert job.refresh().state in (State.COMPLETED, State.FAILED), job.errors
    assert all(failure.kind == "BadFile" for failure in job.errors)
