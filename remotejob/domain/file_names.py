"""Which names are files inside their folder on every platform, and the nearest name that is.

A record may have been written by somebody else, on another system, so a name is judged by the rules
of POSIX and of Windows at once, wherever it is used. Slashes separate folders.

Source: Microsoft, "Naming Files, Paths, and Namespaces"; POSIX.1, 3.170, "Filename"; the reserved
names are those of Python's `ntpath.isreserved`, and COM0 and LPT0.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST_NAME: Final = 255
"""Bytes. File systems take 255 bytes or more UTF-16 units in each part of a path."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Unicode's control characters, and halves of surrogate pairs, which have no UTF-8."""
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\\\:]")
"""What no part of a path has: these, separators, and the colon of drives and of NTFS streams."""
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³"}
)
"""Windows opens a device for these names, in any folder, and also with a suffix."""
_SUFFIX: Final = re.compile(r"(\.tar)?\.[^.\s]{1,32}\Z", re.IGNORECASE)


def leads_out(path: str) -> str | None:
    """Why a relative path is no file inside its folder on any platform; None if it is one."""
    if not path:
        return "it is empty; give it a name"
    if len(path.encode(errors="surrogatepass")) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes; shorten it"
    if found := _CONTROL.search(path):
        return f"no control characters; {found.group()!r} is one"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "no empty, '.' or '..' parts: it leads out of its folder; name the file itself"
    return None


def unportable(path: str) -> str | None:
    """Why a path that does not lead out might do so on Windows, or name no file; None if not."""
    if "\\" in path:
        return "no backslashes, which separate folders on Windows; use / for folders"
    if ":" in path:
        return "no colons, which mean a drive or a stream on Windows; use another character"
    for part in path.split("/"):
        if part.endswith((".", " ")):
            return "no part may end with a dot or a space, which Windows drops; take it away"
        if _is_device(part):
            return f"{part!r} is a device on Windows; use another name"
    return None


def nearest_file_name(name: str) -> str:
    """The file name nearest to one that others chose; empty if nothing of it can be kept.

    What a file name must not contain becomes `_`, as do a dot or a space at its end, and the name
    of a device gets one in front. A name that is too long loses the end of its stem: a task goes by
    the suffix.
    """
    plain = _UNFIT.sub("_", name)
    if not plain.strip(". "):
        return ""
    if plain.endswith((".", " ")):
        plain = f"{plain[:-1]}_"
    if _is_device(plain):
        plain = f"_{plain}"
    if len(plain.encode()) <= LONGEST_NAME:
        return plain
    suffix = _SUFFIX.search(plain)
    kept = "" if suffix is None else suffix.group()
    room = LONGEST_NAME - len(kept.encode())
    stem = plain.removesuffix(kept).encode()[:room].decode(errors="ignore")
    if not kept and stem.endswith((".", " ")):
        stem = f"{stem[:-1]}_"
    return stem + kept


def nearest_path(path: str) -> str:
    """The path nearest to one that does not lead out: each part's nearest name."""
    return "/".join(nearest_file_name(part) or "_" for part in path.split("/"))


def spelled_alike(path: str) -> str:
    """The same text for all paths that some disk takes for one: they differ in case or accents.

    Source: Apple, "About Apple File System", on case and normalization; Unicode, 3.13, D145.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def _is_device(part: str) -> bool:
    return part.partition(".")[0].rstrip(" ").lower() in _DEVICES
