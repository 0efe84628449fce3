"""Content types: given by a caller, or guessed from a file's name."""

from __future__ import annotations

import mimetypes
import re
from typing import Final

from remotejob.domain.argument_checks import check_text
from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown

_LONGEST: Final = 255
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CONTENT_TYPE: Final = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[\t -~]*[!-~])?")
"""Source: RFC 9110, 8.3.1, "Media Type", with any printable ASCII as parameters."""


def check_content_type(content_type: object) -> str | None:
    """A content type that a header can carry, or None. Raises: InvalidData."""
    if content_type is None:
        return None
    remedy = "use a type and a subtype in ASCII, such as 'image/jpeg'"
    text = check_text("content_type", content_type, remedy=remedy)
    if len(text) > _LONGEST or not _CONTENT_TYPE.fullmatch(text):
        raise InvalidData(f"content_type={shown(text)}: {remedy}, at most {_LONGEST} characters")
    return text


def guess_content_type(name: str) -> str | None:
    """The content type that the suffix of a file's name or key stands for."""
    # mimetypes takes "data:ä/b,c" for a URL, which says its own type; "./" makes it a path
    return mimetypes.guess_type(f"./{name.rpartition('/')[2]}")[0]
