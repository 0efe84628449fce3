"""Stores files in the system's buckets without a job, and makes jobs of them later.

Source: remotejob, `store`, `trigger`, `retrieve`, `remove`, `download`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob.domain.argument_checks import (
    check_choice,
    is_a,
    plain_text,
    reading,
)
from remotejob.domain.chain import DEPTH_METADATA, depth_in, next_depth
from remotejob.domain.errors import InvalidData, InvalidName, QueueUnavailable
from remotejob.domain.events import Event
from remotejob.domain.ids import new_job_id
from remotejob.domain.metadata import check_metadata
from remotejob.domain.name_rules import check_file_name, check_stored_key, name_from_disk
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import cut, said_by, shown
from remotejob.jobs.content import payloads
from remotejob.jobs.content.bodies import Body, check_body, open_body
from remotejob.jobs.content.content_types import guess_content_type
from remotejob.jobs.content.download_path import IfExists, destination, download_to
from remotejob.jobs.content.input_files import check_key, file_name_of, input_file
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.submission.room import check_room, lanes_of
from remotejob.jobs.submission.submission import check_task
from remotejob.names import STORED_PREFIX
from remotejob.ports import Area, Installation, QueueDescription, Stored

_PENDING: Final = "pending"
_FILENAME: Final = "filename"
_OURS: Final = frozenset({_FILENAME, DEPTH_METADATA})
"""Metadata that are not data of a job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file in one of the buckets, with its metadata."""

    area: Area
    key: str
    size: int
    etag: str
    content_type: str | None
    metadata: Mapping[str, str]
    installation: Installation

    def open(self) -> BinaryIO:
        """Open a stream of its bytes; close it after use. Raises: FileNotFoundError."""
        files = self.installation.files
        return files.open(files.bucket(self.area), self.key)

    def download(self, path: Path | str, *, if_exists: IfExists | str = IfExists.REFUSE) -> Path:
        """Copy it to a file, or into a folder under its own name. Returns the file's path.

        A folder is one that exists, or text that ends in a slash, which is created if missing.
        The file appears only once it is complete. `if_exists` is "refuse" or "overwrite".

        Raises: InvalidInput, when the file exists.
        """
        path = destination(path, _name_of(self.metadata, self.key))
        files = self.installation.files
        bucket = files.bucket(self.area)
        download_to(path, lambda part: files.download(bucket, self.key, part), if_exists)
        return path


def area_of(direction: Area | str) -> Area:
    """Raises: InvalidName, naming the two directions."""
    return check_choice("direction ", direction, Area)


def store(data: Mapping[str, Any], installation: Installation) -> str:
    """Store a file and its metadata without making a job; return its key.

    Raises: InvalidInput, before anything is stored.
    """
    if not is_a(data, Mapping):
        raise InvalidData(f"store({shown(data)}): give a dict, such as {{'name': …, 'body': …}}")
    with reading("store"):
        given = dict(data)
        key, body = given.pop("key", None), given.pop("body", None)
    if key is None:
        key = new_job_id(installation.clock.now_ms(), installation.entropy)
    text = plain_text(key)
    if text is None:
        raise InvalidName(f"key {shown(key)}: a key is text; leave it out to get a new one")
    key = STORED_PREFIX + check_stored_key(text.removeprefix(STORED_PREFIX))
    content = b"" if body is None else check_body(body)
    if isinstance(content, Path):
        given.setdefault(_FILENAME, name_from_disk(content.name))
    if given.get(_FILENAME) is not None:
        given[_FILENAME] = check_file_name(given[_FILENAME])
    return store_raw(key, given, content, installation)


def store_raw(key: str, metadata: Mapping[str, str], body: Body, installation: Installation) -> str:
    """Store a file under exactly this key of the input bucket; return the key.

    Raises: InvalidInput, before anything is stored.
    """
    key = check_key(key)
    checked = _in_chain(check_metadata(metadata))
    content_type = guess_content_type(checked.get(_FILENAME, key))
    with open_body(check_body(body)) as content:
        stored = installation.files.put(
            Area.INPUT, key, content, content_type=content_type, metadata=checked
        )
    return stored.key


def trigger(
    queue_name: str,
    key: str,
    *,
    task: str | None,
    queue: QueueDescription,
    installation: Installation,
) -> JobRecord:
    """Make a job of a stored file; each call makes a new one.

    Raises: InvalidName; UnknownTask; FileNotFoundError, when there is no such file;
    QueueUnavailable, when the record is stored but the message was not accepted.
    """
    if plain_text(queue_name) != _PENDING:
        raise InvalidName(f"queue name {shown(queue_name)}: new jobs go into {_PENDING!r}")
    task = _task(task, queue)
    key = check_key(key)
    stored = installation.files.describe(Area.INPUT, key)
    data = {name: value for name, value in stored.metadata.items() if name not in _OURS}
    now = installation.clock.now_ms()
    record = JobRecord(
        id=new_job_id(now, installation.entropy),
        state=State.READY,
        task=task,
        queue=queue.name,
        created_ms=now,
        updated_ms=now,
        depth=max(next_depth(), depth_in(stored.metadata)),
        data_json=payloads.encode(data, what="metadata") if data else None,
        input_json=_input_json(stored) if stored.size else None,
    )
    check_room(lanes_of([record], installation), installation)
    # the id is fresh: a refusal means that an earlier send of this request stored the record
    installation.store.put_new(record)
    installation.hooks.tell(Event.CREATED, record, installation)
    try:
        send_for([record], installation)
    except Exception as problem:
        raise QueueUnavailable(
            f"job {record.id} is stored, but its message was not accepted "
            f"({cut(said_by(problem), 300)}); do not trigger it again: the sweep will send the "
            "message within hours"
        ) from problem
    return record


def retrieve(direction: Area | str, key: str, installation: Installation) -> StoredFile:
    """Look up a file. Raises: InvalidName; FileNotFoundError."""
    area = area_of(direction)
    key = check_key(key)
    stored = installation.files.describe(area, key)
    return StoredFile(
        area=area,
        key=stored.key,
        size=stored.size,
        etag=stored.etag,
        content_type=stored.content_type,
        metadata={name: value for name, value in stored.metadata.items() if name != DEPTH_METADATA},
        installation=installation,
    )


def open_stored(direction: Area | str, key: str, installation: Installation) -> BinaryIO:
    """Open a stream of a file. Raises: InvalidName; FileNotFoundError."""
    area = area_of(direction)
    key = check_key(key)
    return installation.files.open(installation.files.bucket(area), key)


def remove(direction: Area | str, key: str, installation: Installation) -> None:
    """Delete a file. Raises: InvalidName."""
    area = area_of(direction)
    key = check_key(key)
    installation.files.delete(area, [key])


def _task(task: str | None, queue: QueueDescription) -> str:
    if task is None:
        if len(queue.tasks) != 1:
            raise InvalidName(
                f"no task: queue {queue.name!r} runs {', '.join(sorted(queue.tasks))}; "
                "say which with task="
            )
        (task,) = queue.tasks
    return check_task(task, queue)


def _in_chain(metadata: dict[str, str]) -> dict[str, str]:
    """The metadata of a file, with its depth if a job stores it. Raises: ChainTooLong."""
    depth = next_depth()
    return {**metadata, DEPTH_METADATA: str(depth)} if depth else metadata


def _input_json(stored: Stored) -> str:
    return input_file(stored, name=_name_of(stored.metadata, stored.key)).to_json()


def _name_of(metadata: Mapping[str, str], key: str) -> str:
    return file_name_of(key, preferred=metadata.get(_FILENAME, ""))
