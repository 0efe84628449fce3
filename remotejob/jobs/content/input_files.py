"""Input files in the input bucket: their keys, their names, and how a record describes them."""

from __future__ import annotations

from typing import Final

from remotejob.domain.argument_checks import encodes, plain_text
from remotejob.domain.errors import InvalidName
from remotejob.domain.name_rules import nearest_file_name
from remotejob.domain.record import InputFile
from remotejob.domain.text import shown
from remotejob.names import INPUT_PREFIX_SUBMITTED, STORED_PREFIX
from remotejob.ports import Area, Installation, Stored

_LONGEST_KEY: Final = 1024

UNNAMED: Final = "input"
"""Name of an input that nobody named."""


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


def file_name_of(key: str, *, preferred: str = "") -> str:
    """A valid file name for an object: the preferred one, else the last part of its key.

    Others may have chosen both, and a worker opens a file of that name on its disk. Characters that
    no file name has are replaced, and a long name is cut before its suffix.
    """
    if "/" not in preferred and (name := nearest_file_name(preferred)):
        return name
    return nearest_file_name(key.rstrip("/").rpartition("/")[2]) or UNNAMED
