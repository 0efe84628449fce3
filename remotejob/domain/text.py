"""Text as it is stored: compact JSON, and messages cut to a length."""

from __future__ import annotations

import json
from typing import Any


def dumps(value: Any) -> str:
    """JSON as stored: compact, and unescaped where UTF-8 is shorter."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def cut(text: str, most: int) -> str:
    """The text, storable and at most `most` characters long."""
    # a lone surrogate, from a file name that could not be decoded, has no UTF-8
    text = text.encode(errors="replace").decode()
    return text if len(text) <= most else text[: most - 1] + "…"
