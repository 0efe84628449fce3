"""Parsing of command line values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from remotejob.domain.errors import InvalidData


def parse_data(text: str | None) -> Any:
    """Parse `--data`: JSON, or `@FILE` to read JSON from a file. Raises: InvalidData."""
    if text is None:
        return None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as problem:
            raise InvalidData(f"--data {text}: {problem.strerror}; check the path") from None
        except UnicodeDecodeError:
            raise InvalidData(f"--data {text}: the file is not UTF-8; give a JSON file") from None
    try:
        return json.loads(text)
    except ValueError as problem:
        raise InvalidData(
            f"--data {text[:60]!r} is not JSON ({problem}); quote it for the shell, "
            """such as --data '{"size": 400}'"""
        ) from None
