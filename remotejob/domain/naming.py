"""What a file may be called."""

from __future__ import annotations

import unicodedata
from typing import Final

from remotejob.domain.errors import InvalidName
from remotejob.names import RESERVED_OUTPUT_PREFIX

_LONGEST: Final = 255


def check_file_name(name: str) -> str:
    """A plain file name, without folders.

    Raises: InvalidName.
    """
    if "/" in name or "\\" in name:
        raise InvalidName(f"file name {name!r}: no slashes; give the name without its folders")
    return _check(name, what="file name")


def check_output_name(name: str) -> str:
    """The name of an output; slashes make folders.

    Raises: InvalidName.
    """
    if name.startswith(RESERVED_OUTPUT_PREFIX):
        raise InvalidName(f"output name {name!r}: the folder '-' is kept for remotejob itself")
    return _check(name, what="output name")


def _check(name: str, *, what: str) -> str:
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
