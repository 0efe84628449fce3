"""What tasks, files, resources and tenants may be called."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from remotejob.domain.errors import InvalidName
from remotejob.names import RESERVED_OUTPUT_PREFIX

TASK_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_LONGEST: Final = 255
_LONGEST_TENANT: Final = 128


def check_file_name(name: str) -> str:
    """A plain file name, without folders.

    Raises: InvalidName.
    """
    _check_text(name, what="file name")
    if "/" in name or "\\" in name:
        raise InvalidName(f"file name {name!r}: no slashes; give the name without its folders")
    return _check(name, what="file name")


def check_output_name(name: str) -> str:
    """The name of an output; slashes make folders.

    Raises: InvalidName.
    """
    _check_text(name, what="output name")
    if name.startswith(RESERVED_OUTPUT_PREFIX):
        raise InvalidName(f"output name {name!r}: the folder '-' is kept for remotejob itself")
    return _check(name, what="output name")


def check_resource(name: str) -> str:
    """The name of what jobs must not work on at the same time.

    Raises: InvalidName.
    """
    return _check(name, what="resource")


def check_tenant(name: str) -> str:
    """The name of whom a job is for: 1 to 128 letters, digits and punctuation marks, in ASCII.

    Raises: InvalidName.
    Source: Amazon SQS API Reference, SendMessage, MessageGroupId.
    """
    _check_text(name, what="tenant")
    if not name:
        raise InvalidName("tenant is empty; name whom the job is for, or leave the tenant out")
    if len(name) > _LONGEST_TENANT:
        raise InvalidName(
            f"tenant {name[:40]!r}… has {len(name)} characters; shorten it to {_LONGEST_TENANT}"
        )
    for letter in name:
        if not "!" <= letter <= "~":
            raise InvalidName(
                f"tenant {name!r}: {letter!r} may not be in it; use letters, digits and"
                " punctuation marks of ASCII, without spaces"
            )
    return name


def _check_text(name: object, *, what: str) -> None:
    if not isinstance(name, str):
        raise InvalidName(f"{what} {name!r}: a name is text")


def _check(name: str, *, what: str) -> str:
    _check_text(name, what=what)
    if not name:
        raise InvalidName(f"{what} is empty; give the file a name")
    if len(name.encode(errors="surrogatepass")) > _LONGEST:
        raise InvalidName(f"{what} {name[:40]!r}… is longer than {_LONGEST} bytes; shorten it")
    for letter in name:
        if unicodedata.category(letter) in ("Cc", "Cs"):
            raise InvalidName(f"{what} {name!r}: no control characters; {letter!r} is one")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise InvalidName(f"{what} {name!r}: no empty, '.' or '..' parts; name the file itself")
    return name
