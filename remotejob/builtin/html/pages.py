"""Reads a page from a file, for `get_hrefs` and `pluck_data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remotejob.builtin.fields import shown, text
from remotejob.builtin.files import regular
from remotejob.builtin.html.markup import decoded
from remotejob.builtin.refusals import BadFile
from remotejob.builtin.word_count import known_encoding


def read_page(path: Path, data: dict[str, Any], *, max_bytes: int) -> str:
    """Read a page as text, in the data's `encoding` if it has one.

    Raises: BadFile, when it is too large; BadData.
    """
    size = regular(path).stat().st_size
    if size > max_bytes:
        raise BadFile(
            f"{shown(path.name)} has {size} bytes, but a page may have only {max_bytes}; "
            "the operator can set max_bytes when registering the task"
        )
    encoding = None if data.get("encoding") is None else text(data, "encoding", default="")
    return decoded(path.read_bytes(), encoding=encoding, safe=known_encoding)
