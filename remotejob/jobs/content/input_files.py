"""Input files: their keys, their names, how a record describes them, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

from remotejob.domain.argument_checks import encodes, plain_text
from remotejob.domain.errors import FileUnreadable, InvalidName
from remotejob.domain.name_rules import nearest_file_name
from remotejob.domain.record import UNNAMED, InputFile
from remotejob.domain.text import cut, shown
from remotejob.names import INPUT_PREFIX_SUBMITTED, STORED_PREFIX
from remotejob.ports import Area, Installation, Stored

_LONGEST_KEY: Final = 1024


def check_key(key: object) -> str:
    """A key that S3 takes: 1 to 1,024 bytes of UTF-8. Raises: InvalidName."""
    text = plain_text(key)
    if text is None:
        raise InvalidName(f"key {shown(key)}: a key is text, such as `store` returns")
    if not encodes(text):
        raise InvalidName(f"key {shown(text)} is not valid Unicode; encode it first")
    if not 0 < len(text.encode()) <= _LONGEST_KEY:
        raise InvalidName(f"key {shown(text)}: use 1 to {_LONGEST_KEY} bytes")
    return text


def input_prefix(queue: str, job_id: str) -> str:
    """Prefix of all keys under which a submitted job keeps its input and long data."""
    return f"{INPUT_PREFIX_SUBMITTED}{queue}/{job_id}/"


def input_prefixes(queue: str, job_id: str) -> tuple[str, ...]:
    """That prefix, and the one of earlier versions, whose keys did not name the queue."""
    return input_prefix(queue, job_id), f"{INPUT_PREFIX_SUBMITTED}{job_id}/"


def input_key(queue: str, job_id: str, name: str) -> str:
    """Where the input of a submitted job goes; uploads there fire no trigger."""
    return f"{input_prefix(queue, job_id)}{name}"


def data_key(queue: str, job_id: str) -> str:
    """Where data goes that is too long for the record."""
    return input_key(queue, job_id, "-/data.json")


def submitted_to_another(file: InputFile, queue: str, installation: Installation) -> bool:
    """Whether a file was submitted to another queue, whose workers alone can read it."""
    name = file.key.removeprefix(INPUT_PREFIX_SUBMITTED).partition("/")[0]
    return (
        file.bucket == installation.files.bucket(Area.INPUT)
        and file.key.startswith(INPUT_PREFIX_SUBMITTED)
        and not file.key.startswith(STORED_PREFIX)
        and name in installation.queues
        and name != queue
    )


def input_file(stored: Stored, *, name: str) -> InputFile:
    """A stored file as the input of a job, at exactly that version."""
    return InputFile(
        bucket=stored.bucket,
        key=stored.key,
        size=stored.size,
        name=name,
        version=stored.version,
        etag=stored.etag,
        content_type=stored.content_type,
    )


def bucket_refused(bucket: str, installation: Installation) -> str | None:
    """Why a bucket that others name is not read; None if it is one of this system's.

    Whoever reads for a record may have wider rights than its writer.
    """
    own = [installation.files.bucket(area) for area in Area]
    if bucket in own or bucket in installation.readable_buckets:
        return None
    known = ", ".join([*own, *sorted(installation.readable_buckets)])
    # the remedy comes early, because a record keeps only the beginning of a long message
    return (
        f"bucket {shown(cut(bucket, 80))} is not read: copy the file to the input bucket, or name "
        "the bucket in readable_buckets under [system] in remotejob.toml and deploy; this system "
        f"reads {cut(known, 300)}"
    )


def check_bucket(bucket: str, installation: Installation) -> None:
    """Check a bucket before reading from it. Raises: FileUnreadable."""
    problem = bucket_refused(bucket, installation)
    if problem is not None:
        raise FileUnreadable(problem)


def open_input(file: InputFile, installation: Installation) -> BinaryIO:
    """A stream of an input. Raises: FileNotFoundError; FileUnreadable."""
    check_bucket(file.bucket, installation)
    return installation.files.open(file.bucket, file.key, version=file.version)


def download_input(file: InputFile, to: Path, installation: Installation) -> None:
    """Copy an input to this path. Raises: FileNotFoundError; FileUnreadable."""
    check_bucket(file.bucket, installation)
    installation.files.download(file.bucket, file.key, to, version=file.version)


def file_name_of(key: str, *, preferred: str = "") -> str:
    """A valid file name for an object: the preferred one, else the last part of its key.

    Others may have chosen both, and a worker opens a file of that name on its disk.
    """
    if "/" not in preferred and (name := nearest_file_name(preferred)):
        return name
    return nearest_file_name(key.rstrip("/").rpartition("/")[2]) or UNNAMED
