"""The ways on which a string of a record, message, manifest or event could reach a disk."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from remotejob import Job, RemoteJob
from remotejob.cli.local.process import download_outputs
from remotejob.cli.saving import folder_of, save_outputs
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.functions.on_upload import uploads_in
from remotejob.jobs.content.download_path import IfExists
from remotejob.jobs.content.outputs import Output
from remotejob.jobs.submission.uploads import ingest
from remotejob.ports import Address, Area, Channel, Installation, Outgoing
from remotejob.settings import parse
from remotejob.tasks import registry
from remotejob.testing import Simulation
from tests.boundaries import careless
from tests.boundaries.forging import completed_with, forged
from tests.boundaries.hostile_text import Hostile

TASK: Final = careless.careless.__name__
_TEXTS: Final = tuple(
    one.name
    for one in fields(JobRecord)
    if "str" in str(one.type) and one.name not in ("id", "state", "task", "queue")
)
"""The fields of a record that hold text; those that route it are hostile now and then only."""
_SETTINGS: Final = parse({"queues": {"default": {"tasks": [TASK]}}, "routes": [{"task": TASK}]})


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A system, a worker, and a folder in which somebody saves what the system gives."""

    installation: Installation
    hostile: Hostile
    folder: Path
    worker: Simulation = field(init=False)

    def __post_init__(self) -> None:
        worker = Simulation(installation=self.installation, tasks=registry)
        object.__setattr__(self, "worker", worker)

    @property
    def draw(self) -> random.Random:
        return self.hostile.random

    def existing(self) -> IfExists:
        return self.draw.choice(list(IfExists))


Road = Callable[[Scene], None]


def _input(scene: Scene) -> str:
    """The JSON of a record's input, with any of its texts hostile; the file exists."""
    hostile, files = scene.hostile, scene.installation.files
    stored = files.put(Area.INPUT, f"x/{scene.draw.randrange(10**9)}", b"owned")
    described = {
        "b": hostile.sometimes(stored.bucket, of=0.1),
        "k": hostile.sometimes(stored.key, of=0.1),
        "s": stored.size,
        "n": hostile.text(),
    }
    for key in "vet":
        if scene.draw.random() < 0.1:
            described[key] = hostile.text()
    return json.dumps(described)


def _fields(scene: Scene) -> dict[str, Any]:
    """Fields of a record: an input, and a few hostile ones, as text or within JSON."""
    hostile = scene.hostile
    chosen: dict[str, Any] = {"task": hostile.sometimes(TASK, of=0.05)}
    # most of them make a record that no worker runs
    for name in scene.draw.sample(_TEXTS, scene.draw.choice([0, 0, 0, 1, 2, 3])):
        text = hostile.text()
        chosen[name] = scene.draw.choice(
            [text, json.dumps(text), json.dumps([text]), json.dumps([[text, 1, text]])]
        )
    if scene.draw.random() < 0.9:
        chosen["input_json"] = _input(scene)
    return chosen


def worker_runs_a_record(scene: Scene) -> None:
    forged(scene.installation, send=True, **_fields(scene))
    scene.worker.step()


def worker_receives_a_message(scene: Scene) -> None:
    record = forged(scene.installation, **_fields(scene))
    hostile = scene.hostile
    body = {
        "v": 1,
        "id": hostile.sometimes(record.id),
        "task": hostile.sometimes(TASK),
        hostile.text(): hostile.text(),
    }
    scene.installation.messages.send(
        Address("default", Channel.NORMAL), [Outgoing(body=json.dumps(body))]
    )
    scene.worker.step()


def upload_is_announced(scene: Scene) -> None:
    hostile, files = scene.hostile, scene.installation.files
    key = hostile.text()[:300] or "x"
    with suppress(Exception):
        files.put(Area.INPUT, key, b"owned")
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-01-15T12:00:00Z",
        hostile.text(): hostile.text(),
        "detail": {
            "bucket": {"name": hostile.sometimes(files.bucket(Area.INPUT), of=0.1)},
            "object": {
                "key": key,
                "size": 5,
                "etag": hostile.sometimes("e"),
                "sequencer": hostile.text(),
            },
        },
    }
    for upload in uploads_in(json.dumps(event)):
        ingest(upload, _SETTINGS, scene.installation)
    scene.worker.step()


def _completed(scene: Scene) -> Job:
    names = [scene.hostile.sometimes("good.txt", of=0.9) for _ in range(scene.draw.randrange(1, 4))]
    fields = {"task": TASK, "input_json": _input(scene)}
    record = completed_with(scene.installation, *names, long=scene.draw.random() < 0.1, **fields)
    return Job(record, scene.installation)


def output_is_downloaded(scene: Scene) -> None:
    for output in _completed(scene).outputs.values():
        target: Path | str = scene.folder
        if scene.draw.random() < 0.5:
            target = f"{scene.folder}/"
        with suppress(Exception):
            output.download(target, if_exists=scene.existing())


def outputs_are_saved(scene: Scene) -> None:
    job = _completed(scene)
    under = scene.draw.choice([folder_of(job), scene.hostile.text(), ""])
    outputs: list[tuple[str, Output]] = [(under, output) for output in job.outputs.values()]
    save_outputs(outputs, scene.folder, scene.existing())


def results_are_fetched(scene: Scene) -> None:
    download_outputs([_completed(scene), _completed(scene)], scene.folder, scene.existing())


def job_is_replayed_here(scene: Scene) -> None:
    record = forged(scene.installation, **{**_fields(scene), "state": State.FAILED, "task": TASK})
    replayed = Job(record, scene.installation).replay_here()
    for output in replayed.outputs.values():
        output.download(scene.folder, if_exists=scene.existing())


def notice_is_read(scene: Scene) -> None:
    hostile, job = scene.hostile, _completed(scene)
    notice = {
        "v": 1,
        "id": hostile.sometimes(job.id, of=0.1),
        "task": hostile.text(),
        "queue": hostile.text(),
        "state": "completed",
        "run": hostile.text(),
        "error": {"kind": hostile.text(), "message": hostile.text()},
    }
    address = Address("default", Channel.COMPLETED)
    scene.installation.messages.send(address, [Outgoing(body=json.dumps(notice))])
    read = RemoteJob(scene.installation).queue().next("completed", wait=timedelta(0))
    assert read is not None
    read.acknowledge()
    for output in read.outputs.values():
        with suppress(Exception):
            output.download(scene.folder, if_exists=scene.existing())


def stored_file_is_downloaded(scene: Scene) -> None:
    queue, hostile = RemoteJob(scene.installation).queue(), scene.hostile
    key = hostile.text()[:300] or "x"
    scene.installation.files.put(
        Area.INPUT, key, b"owned", metadata={"filename": hostile.text(), "name": hostile.text()}
    )
    queue.retrieve("input", key).download(f"{scene.folder}/", if_exists=scene.existing())
    queue.trigger("pending", key, task=TASK)
    scene.worker.step()


ROADS: Final[tuple[Road, ...]] = (
    worker_runs_a_record,
    worker_receives_a_message,
    upload_is_announced,
    output_is_downloaded,
    outputs_are_saved,
    results_are_fetched,
    job_is_replayed_here,
    notice_is_read,
    stored_file_is_downloaded,
)
