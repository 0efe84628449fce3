"""Rules for the names of tasks, files, resources and tenants, and for ids."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from remotejob.domain.argument_checks import plain_text
from remotejob.domain.batches import is_batch_id
from remotejob.domain.errors import InvalidName
from remotejob.domain.ids import is_job_id
from remotejob.domain.text import shown
from remotejob.names import RESERVED_OUTPUT_PREFIX

TASK_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_LONGEST: Final = 255
LONGEST_TENANT: Final = 128
_CONTROLS: Final = ("Cc", "Cs")
"""Unicode's categories of control characters and of halves of surrogate pairs."""
_SUFFIX: Final = re.compile(r"(\.tar)?\.[^.\s]{1,32}\Z", re.IGNORECASE)


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
    """Check a plain file name, without folders.

    Raises: InvalidName.
    """
    name = _text(name, what="file name")
    if "/" in name or "\\" in name:
        raise InvalidName(f"file name {shown(name)}: no slashes; give the name without its folders")
    return _check(name, what="file name")


def nearest_file_name(name: str) -> str:
    """The file name nearest to one that others chose; empty if nothing of it can be kept.

    What a file name must not contain becomes `_`. One that is too long loses the end of its stem:
    a task goes by the suffix.
    """
    plain = "".join("_" if _is_unfit(letter) else letter for letter in name)
    if not plain.strip("."):
        return ""
    suffix = _SUFFIX.search(plain)
    kept = "" if suffix is None else suffix.group()
    room = _LONGEST - len(kept.encode())
    stem = plain.removesuffix(kept).encode()[:room].decode(errors="ignore")
    return stem + kept


def _is_unfit(letter: str) -> bool:
    return letter in "/\\" or unicodedata.category(letter) in _CONTROLS


def check_output_name(name: object) -> str:
    """Check the name of an output; slashes make folders.

    Raises: InvalidName.
    """
    name = _text(name, what="output name")
    if name.startswith(RESERVED_OUTPUT_PREFIX):
        raise InvalidName(f"output name {shown(name)}: the folder '-' is reserved; use another")
    return _check(name, what="output name")


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


def _text(name: object, *, what: str) -> str:
    text = plain_text(name)
    if text is None:
        raise InvalidName(f"{what} {shown(name)}: not text; give a str")
    return text


def _check(name: object, *, what: str) -> str:
    name = _text(name, what=what)
    if not name:
        raise InvalidName(f"{what} is empty; give it a name")
    if len(name.encode(errors="surrogatepass")) > _LONGEST:
        raise InvalidName(f"{what} {name[:40]!r}… is longer than {_LONGEST} bytes; shorten it")
    for letter in name:
        if unicodedata.category(letter) in _CONTROLS:
            raise InvalidName(f"{what} {shown(name)}: no control characters; {letter!r} is one")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise InvalidName(
            f"{what} {shown(name)}: no empty, '.' or '..' parts; name the file itself"
        )
    return name
