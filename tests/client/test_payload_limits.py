"""Data and results that are too long are refused, before anything is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import InvalidData, InvalidInput, Queue, RemoteJob, State, Submission
from remotejob.domain.record import DATA_LIMIT, RESULT_LIMIT
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation

LONGEST = "x" * (DATA_LIMIT - 2)
"""With its quotation marks it is as long as data may be."""

TOO_LONG = LONGEST + "x"


def _lines(folder: Path, name: str, *rows: str) -> str:
    path = folder / name
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)


WAYS: dict[str, Callable[[Queue, Path], object]] = {
    "submit": lambda queue, _: queue.submit("work", data=TOO_LONG),
    "a letter of two bytes": lambda queue, _: queue.submit("work", data="ü" * (DATA_LIMIT // 2)),
    "30 MB": lambda queue, _: queue.submit("work", data={"rows": ["x" * 30_000_000]}),
    "delayed": lambda queue, _: queue.submit(
        "work", data=[TOO_LONG], delay=timedelta(hours=1), resource="one"
    ),
    "under a key": lambda queue, _: queue.submit("work", data=TOO_LONG, idempotency_key="k"),
    "a draft": lambda queue, _: queue.new_job("work", TOO_LONG).save(),
    "the last of many": lambda queue, _: queue.submit_many(
        [Submission("work", data=1), Submission("work", data=TOO_LONG)]
    ),
    "an item": lambda queue, _: queue.map("work", [1, TOO_LONG]),
    "an item of an iterator": lambda queue, _: queue.map("work", iter([TOO_LONG])),
    "shared data": lambda queue, _: queue.map("work", [{}], data={"a": TOO_LONG}),
    "shared data and an item's": lambda queue, _: queue.map(
        "work", [{"b": LONGEST[: DATA_LIMIT // 2]}], data={"a": LONGEST[: DATA_LIMIT // 2]}
    ),
    "a line": lambda queue, folder: queue.map(
        "work", _lines(folder, "rows.jsonl", "1", json.dumps(TOO_LONG))
    ),
    "a CSV row": lambda queue, folder: queue.map(
        "work", _lines(folder, "rows.csv", "name", "a", "y" * DATA_LIMIT)
    ),
    "a CSV row of many fields": lambda queue, folder: queue.map(
        "work",
        _lines(
            folder, "rows.csv", ",".join(f"n{n:07}" for n in range(80_000)), ",".join("a" * 80_000)
        ),
    ),
    "what follows a batch": lambda queue, _: queue.map(
        "work", [1], on_complete=Submission("work", data={"a": TOO_LONG})
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_data_over_the_limit_is_refused_and_leaves_nothing(
    way: str, queue: Queue, installation: Installation, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r"[0-9]") as refused:
        WAYS[way](queue, tmp_path)

    if way == "an item of an iterator":
        # such an item is read after the batch has begun
        assert isinstance(refused.value.__cause__, InvalidInput)
    else:
        assert isinstance(refused.value, InvalidInput)
    assert queue.jobs() == []
    assert not list(installation.files.keys(Area.INPUT, ""))


def test_the_refusal_names_both_sizes_and_the_remedy(queue: Queue) -> None:
    with pytest.raises(InvalidData, match=r"1,048,577 bytes as JSON, and 1,048,576 .*`body`"):
        queue.submit("work", data=TOO_LONG)


def test_data_as_long_as_the_limit_is_taken(queue: Queue) -> None:
    assert queue.submit("work", data=LONGEST).data == LONGEST


def test_a_result_over_the_limit_fails_its_run_and_says_why() -> None:
    installation = memory_installation(FakeClock())
    registry = Registry()
    registry.task("work")(_returns_too_much)
    worker = Simulation(installation=installation, tasks=registry)
    job = RemoteJob(installation).queue().submit("work")

    worker.step()

    job.refresh()
    assert job.state is State.FAILED
    assert "67,108,865 bytes as JSON, and 67,108,864 is the most" in job.errors[-1].message
    assert not list(installation.files.keys(Area.OUTPUT, ""))


def _returns_too_much(_: Any) -> str:
    return "x" * (RESULT_LIMIT - 1)
