"""The sources of a batch's children: objects under a prefix, items of data, lines of a manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob.domain.argument_checks import check_text, is_a, plain_text, reading
from remotejob.domain.errors import InvalidBody, InvalidData, InvalidName
from remotejob.domain.priority import check_priority
from remotejob.domain.retry import Retry
from remotejob.domain.text import cut, shown
from remotejob.jobs.content.bodies import check_file
from remotejob.jobs.content.input_files import check_key, file_name_of, input_file
from remotejob.jobs.submission.batch_manifests import reader_of
from remotejob.jobs.submission.submission import Submission
from remotejob.names import INPUT_PREFIX_SUBMITTED, STORED_PREFIX
from remotejob.ports import Area, Installation, Stored

log = logging.getLogger(__name__)

Source = str | Path | Iterable[Any]
"""`s3://bucket/prefix/`; the path or S3 address of a manifest; items of data, or submissions."""

_S3: Final = "s3://"
_DESCRIBED_AT_A_TIME: Final = 64
_DESCRIBERS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Each:
    """What the children of a batch have in common."""

    task: str
    data: Any = None
    retry: Retry | None = None
    priority: int | str = 0
    tenant: str | None = None
    expires: timedelta | datetime | None = None
    crashes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "priority", check_priority(self.priority))

    def child(self, **own: Any) -> Submission:
        values = {"data": self.data, **own}
        return Submission(
            task=self.task,
            retry=self.retry,
            priority=self.priority,
            tenant=self.tenant,
            expires=self.expires,
            crashes=self.crashes,
            **values,
        )

    def of_data(self, data: Any) -> Submission:
        """A child with this data, merged into the shared data. Raises: InvalidData."""
        if self.data is None:
            return self.child(data=data)
        if not is_a(data, Mapping):
            raise InvalidData(
                f"{shown(data)} is not a dict, so it cannot be merged with data={shown(self.data)}"
            )
        with reading("data"):
            return self.child(data={**self.data, **data})

    def of_submission(self, submission: Submission) -> Submission:
        """A child that is a complete submission. Raises: InvalidData."""
        own = (self.data, self.retry, self.tenant, self.expires, self.crashes)
        if any(value is not None for value in own) or self.priority != 0:
            raise InvalidData(
                "it is a Submission, which has its own data, retry, priority, tenant, expires and "
                "crashes; leave those out of map()"
            )
        if plain_text(submission.task) != self.task:
            raise InvalidData(
                f"its task is {shown(submission.task)}, but the batch's is {self.task!r}"
            )
        if submission.idempotency_key is not None:
            raise InvalidData(
                "it has an idempotency_key, whose job may belong to another batch; leave it out"
            )
        if submission.repeat is not None:
            raise InvalidData("it repeats, so its batch would never end; submit it on its own")
        return submission


Children = Iterator[tuple[str, Submission]]
"""A label for error messages, and the child."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A way to read a source."""

    read: Callable[[], Children]
    rereadable: bool
    """Whether it can be read twice, so that all of it can be checked before making any child."""


def reading_of(source: Source, each: Each, installation: Installation) -> Reading:
    """Find out how to read a source.

    Raises: InvalidInput; FileNotFoundError, when a manifest does not exist.
    """
    text = plain_text(source)
    if text is not None and text.startswith(_S3):
        return _in_s3(text, each, installation)
    if isinstance(source, str | Path):
        return _on_disk(source if text is None else text, each, installation)
    if is_a(source, bytes, Mapping, Submission) or not is_a(source, Iterable):
        raise InvalidData(
            f"source={shown(source)}: give 's3://bucket/prefix/', a manifest's path, or a list of "
            "data"
        )
    _check_shared(each)
    return Reading(read=lambda: _of_items(source, each), rereadable=is_a(source, Sequence))


def _of_items(items: Iterable[Any], each: Each) -> Children:
    for number, item in enumerate(_read(items)):
        label = f"item {number}"
        try:
            if is_a(item, Submission):
                yield label, each.of_submission(item)
            else:
                yield label, each.of_data(item)
        except InvalidData as problem:
            raise InvalidData(f"{label}: {problem}") from None


def _read(items: Iterable[Any]) -> Iterator[Any]:
    with reading("source"):
        left = iter(items)
    while True:
        with reading("source"):
            try:
                item = next(left)
            except StopIteration:
                return
        yield item


def _check_shared(each: Each) -> None:
    if each.data is not None and not is_a(each.data, dict):
        raise InvalidData(f"data={shown(each.data)}: data shared by all children must be a dict")


def _on_disk(source: Path | str, each: Each, installation: Installation) -> Reading:
    path = Path(source)
    if _is_folder(path):
        raise InvalidBody(
            f"source {str(path)!r} is a folder on this machine, which workers cannot read; "
            "copy it to the bucket and map it there: "
            f"{_copying(str(path), installation, path.name)}"
        )
    reader = reader_of(str(path))
    path = check_file(source, what="source")
    return _manifest(reader, lambda: path.open("rb"), path.name, each)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _manifest(
    reader: Callable[[BinaryIO], Iterator[tuple[int, Any]]],
    opened: Callable[[], BinaryIO],
    name: str,
    each: Each,
) -> Reading:
    _check_shared(each)

    def read() -> Children:
        with closing(opened()) as stream:
            try:
                for number, row in reader(stream):
                    yield f"{name}, line {number}", _of_row(number, row, each)
            except InvalidData as problem:
                raise InvalidData(f"{name}, {problem}") from None

    return Reading(read=read, rereadable=True)


def _of_row(number: int, row: Any, each: Each) -> Submission:
    try:
        return each.of_data(row)
    except InvalidData as problem:
        raise InvalidData(f"line {number}: {problem}") from None


def _in_s3(address: str, each: Each, installation: Installation) -> Reading:
    check_text("source", address, remedy="give 's3://bucket/prefix/' or a manifest's address")
    bucket, _, key = address.removeprefix(_S3).partition("/")
    files = installation.files
    own = {files.bucket(area): area for area in Area}
    if key == "" or key.endswith("/"):
        if own.get(bucket) is not Area.INPUT:
            raise InvalidName(
                f"bucket {shown(bucket)}: workers may only read {files.bucket(Area.INPUT)!r}; copy "
                "the files there, for example with: "
                f"{_copying(cut(address, 200), installation, cut(key, 200))}"
            )
        return Reading(read=lambda: _under(key, each, installation), rereadable=False)
    reader = reader_of(address)
    if bucket not in own:
        raise InvalidName(
            f"bucket {shown(bucket)} is not one of this system's, {' and '.join(sorted(own))}; "
            "copy the manifest to one of them, or to a file"
        )

    def opened() -> BinaryIO:
        # always the same version, however often it is read
        return files.open(bucket, key, version=version)

    check_key(key)
    version = files.describe(own[bucket], key).version
    return _manifest(reader, opened, key, each)


def _under(prefix: str, each: Each, installation: Installation) -> Children:
    """A child for each object, pinned to its newest version now."""
    keys = (
        key for key in installation.files.keys(Area.INPUT, prefix) if not _left_out(key, prefix)
    )

    def described(key: str) -> Stored | None:
        try:
            return installation.files.describe(Area.INPUT, key)
        except FileNotFoundError:
            log.info("object deleted after it was listed; no child is made of it: %s", key)
            return None

    with ThreadPoolExecutor(_DESCRIBERS, thread_name_prefix="map") as pool:
        while some := list(islice(keys, _DESCRIBED_AT_A_TIME)):
            for key, stored in zip(some, pool.map(described, some), strict=True):
                if stored is not None:
                    file = input_file(stored, name=file_name_of(key))
                    yield f"object {key!r}", each.child(input=file)


def _left_out(key: str, prefix: str) -> bool:
    # folder markers made by the S3 console; and files kept by `submit`
    ours = key.startswith(INPUT_PREFIX_SUBMITTED) and not prefix.startswith(INPUT_PREFIX_SUBMITTED)
    return key.endswith("/") or ours


def _copying(source: str, installation: Installation, key: str) -> str:
    """The command that copies a folder to where `map` can read it and uploads trigger no jobs."""
    bucket = installation.files.bucket(Area.INPUT)
    prefix = f"{STORED_PREFIX}{key.strip('/')}"
    return f"aws s3 sync {source} {_S3}{bucket}/{prefix.rstrip('/')}/"
