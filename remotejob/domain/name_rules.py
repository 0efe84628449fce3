"""Rules for the names of tasks, files, resources and tenants, and for ids."""

from __future__ import annotations

import re
from typing import Final

from remotejob.domain.argument_checks import plain_text
from remotejob.domain.batches import is_batch_id
from remotejob.domain.errors import InvalidName
from remotejob.domain.file_names import leads_out, unportable
from remotejob.domain.file_names import nearest_file_name as nearest_file_name
from remotejob.domain.ids import is_job_id
from remotejob.domain.text import shown
from remotejob.names import RESERVED_OUTPUT_PREFIX

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
"""A system's or a queue's."""
TASK_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
LONGEST_TENANT: Final = 128
_GROUP: Final = re.compile(rf"[!-~]{{1,{LONGEST_TENANT}}}")
"""Source: Amazon SQS API Reference, SendMessage, MessageGroupId."""


def check_task_name(task: object) -> str:
    """What can be a task's name, whether or not any queue runs it. Raises: InvalidName."""
    name = plain_text(task)
    if name is None or not TASK_NAME.fullmatch(name):
        raise InvalidName(f"task {shown(task)}: give a task's name")
    return name


def check_job_id(job_id: object) -> str:
    """Check the form of a job's id. Raises: InvalidName."""
    text = plain_text(job_id)
    if text is None or not is_job_id(text):
        raise InvalidName(
            f"job id {shown(job_id)}: an id has 26 letters and digits, as submit gave it"
        )
    return text


def check_batch_id(batch_id: object) -> str:
    """Check the form of a batch's id. Raises: InvalidName."""
    text = plain_text(batch_id)
    if text is None or not is_batch_id(text):
        raise InvalidName(
            f"batch id {shown(batch_id)}: an id has 'b-' and 26 letters and digits, as map gave it"
        )
    return text


def check_file_name(name: object) -> str:
    """Check a plain file name, without folders: it must be one on every platform.

    Raises: InvalidName.
    """
    name = _text(name, what="file name")
    if "/" in name or "\\" in name:
        raise InvalidName(f"file name {shown(name)}: no slashes; give the name without its folders")
    return _check_portable(name, what="file name")


def name_from_disk(name: str) -> str:
    """The name of a file on this disk, changed where another platform would not take it.

    Raises: InvalidName, when it has a control character or is no valid Unicode.
    """
    return nearest_file_name(_check(name, what="file name"))


def check_output_name(name: object) -> str:
    """Check the name of an output; slashes make folders. It must be a file on every platform.

    Raises: InvalidName.
    """
    name = _text(name, what="output name")
    if name.startswith(RESERVED_OUTPUT_PREFIX):
        raise InvalidName(f"output name {shown(name)}: the folder '-' is reserved; use another")
    return _check_portable(name, what="output name")


def check_stored_key(key: object) -> str:
    """Check the key of a stored file; slashes make folders. It need not be a file on a disk.

    Raises: InvalidName.
    """
    return _check(key, what="key")


def check_resource(name: object) -> str:
    """Check the name of a resource that jobs must not use at the same time.

    Raises: InvalidName.
    """
    return _check(name, what="resource")


def check_tenant(name: object) -> str:
    """Check the name of a tenant: 1 to 128 ASCII letters, digits and punctuation marks.

    Raises: InvalidName.
    Source: Amazon SQS API Reference, SendMessage, MessageGroupId.
    """
    name = _text(name, what="tenant")
    if not name:
        raise InvalidName("tenant is empty; name the tenant, or leave it out")
    if len(name) > LONGEST_TENANT:
        raise InvalidName(
            f"tenant {name[:40]!r}… has {len(name)} characters; shorten it to {LONGEST_TENANT}"
        )
    for letter in name:
        if not "!" <= letter <= "~":
            raise InvalidName(
                f"tenant {shown(name)} contains {letter!r}; use ASCII letters, digits and "
                "punctuation marks, without spaces"
            )
    return name


def group_of(tenant: str | None) -> str | None:
    """The message group of a tenant's jobs; None for a record that names no possible one.

    SQS would refuse the message, and perhaps those beside it in a batch.
    """
    if tenant is None or not _GROUP.fullmatch(tenant):
        return None
    return tenant


def _text(name: object, *, what: str) -> str:
    text = plain_text(name)
    if text is None:
        raise InvalidName(f"{what} {shown(name)}: not text; give a str")
    return text


def _check_portable(name: str, *, what: str) -> str:
    _check(name, what=what)
    _refuse(name, unportable(name), what=what)
    return name


def _check(name: object, *, what: str) -> str:
    name = _text(name, what=what)
    _refuse(name, leads_out(name), what=what)
    return name


def _refuse(name: str, problem: str | None, *, what: str) -> None:
    if problem is not None:
        raise InvalidName(f"{what} {shown(name)}: {problem}")
