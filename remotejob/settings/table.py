"""Reads a table of a TOML document: a refusal names the table, the key and the value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, NoReturn

from remotejob.domain.errors import SettingsError
from remotejob.domain.name_rules import NAME as NAME
from remotejob.domain.text import shown

_LONGEST_KEY: Final = 1024
"""Bytes of an S3 key. Source: Amazon S3 User Guide, "Naming Amazon S3 objects"."""

_MOST_DOLLARS: Final = 1_000_000


def fail(where: str, key: str, value: object, remedy: str) -> NoReturn:
    """Refuse a value. Raises: SettingsError."""
    raise SettingsError(f"{where}: {key} = {shown(value)}: {remedy}")


class Table:
    """A TOML table being read; the dataclass it is read into defines the keys."""

    def __init__(self, values: Any, *, where: str, of: type) -> None:
        if not isinstance(values, Mapping):
            raise SettingsError(f"{where} is {shown(values)}: it must be a table")
        self._values = values
        self.where: Final = where
        # before reporting a missing key: a mistyped one is often the reason
        self._refuse_unknown(sorted(one.name for one in fields(of)))

    def fail(self, key: str, value: object, remedy: str) -> NoReturn:
        fail(self.where, key, value, remedy)

    def named(self, key: str) -> tuple[str, Mapping[str, Any]]:
        """A table whose keys are names of the user's own, and its place; empty if left out."""
        return f"{self.where.removesuffix(']')}.{key}]", self.value(key, dict, default={})

    def has(self, key: str) -> bool:
        """Whether the file has the key, whatever its value."""
        return key in self._values

    def value(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        if key not in self._values:
            if default is None:
                raise SettingsError(f"{self.where}: {key} is missing; add it")
            return default
        value = self._values[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.fail(key, value, f"it must be {' or '.join(_KIND[k] for k in kinds)}")
        return value

    def strings(self, key: str, default: list[str] | None = None) -> list[str]:
        values: list[str] = self.value(key, list, default=default)
        for value in values:
            if not isinstance(value, str):
                self.fail(key, values, "it must be a list of strings")
        return values

    def name(self, key: str, pattern: re.Pattern[str], *, default: str) -> str:
        value: str = self.value(key, str, default=default)
        if not pattern.fullmatch(value):
            self.fail(key, value, "use lower-case letters, digits and dashes, at most 31")
        return value

    def choice(self, key: str, choices: list[str], *, default: str) -> str:
        value: str = self.value(key, str, default=default)
        if value not in choices:
            self.fail(key, value, f"use one of {', '.join(choices)}")
        return value

    def whole(self, key: str, least: int, most: int, *, default: int) -> int:
        value: int = self.value(key, int, default=default)
        if not least <= value <= most:
            self.fail(key, value, f"it must be between {least} and {most}")
        return value

    def whole_or_none(self, key: str, least: int, most: int) -> int | None:
        """None if the key is left out."""
        return self.whole(key, least, most, default=least) if key in self._values else None

    def check_prefix(self, key: str, prefix: str) -> None:
        """Refuse a prefix that no object's key begins with. Raises: SettingsError."""
        if prefix.startswith("/"):
            self.fail(key, prefix, "S3 keys do not begin with a slash; leave it out")
        if len(prefix.encode()) > _LONGEST_KEY:
            self.fail(key, prefix, f"an S3 key has at most {_LONGEST_KEY:,} bytes; shorten it")

    def dollars_or_none(self, key: str) -> float | None:
        """None if the key is left out."""
        if key not in self._values:
            return None
        value: float = self.value(key, (int, float))
        if not 0.01 <= value <= _MOST_DOLLARS:
            self.fail(key, value, f"it must be between 0.01 and {_MOST_DOLLARS:,}")
        return float(value)

    def _refuse_unknown(self, known: Sequence[str]) -> None:
        for key in self._values:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise SettingsError(
                    f"{self.where}: unknown key {shown(key)}{hint} (known: {', '.join(known)})"
                )


_KIND = {
    bool: "true or false",
    str: "a string",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
}
