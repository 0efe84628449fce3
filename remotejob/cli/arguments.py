"""Parsing of command line values."""

from __future__ import annotations

import json
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from remotejob.domain.errors import InvalidData
from remotejob.domain.text import cut, shown
from remotejob.domain.text_files import Unreadable, decode


def parse_data(text: str | None) -> Any:
    """Parse `--data`: JSON, `@FILE` to read JSON from a file, `@-` from standard input.

    Raises: InvalidData.
    """
    if text is None:
        return None
    if text.startswith("@"):
        return _in_file(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidData(
            f"--data {shown(text)} is not JSON ({problem}); quote it for the shell, "
            """such as --data '{"size": 400}'"""
        ) from None


def parse_seconds(option: str, seconds: float) -> timedelta:
    """The seconds given to an option. Raises: InvalidData, for NaN, which typer's limits let by."""
    if not math.isfinite(seconds):
        raise InvalidData(f"{option} {seconds}: use a number of seconds")
    return timedelta(seconds=seconds)


def _in_file(text: str) -> Any:
    option = f"--data {cut(text, 200)}"
    try:
        content = sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
        return json.loads(decode(content))
    except OSError as problem:
        raise InvalidData(f"{option}: {problem.strerror}; check the path") from None
    except Unreadable as problem:
        raise InvalidData(f"{option}: {problem}") from None
    except (ValueError, RecursionError) as problem:
        # also a NUL in the path
        raise InvalidData(f"{option}: the file is not JSON ({problem}); correct it") from None
