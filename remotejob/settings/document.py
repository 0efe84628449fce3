"""Settings as the text of a `remotejob.toml`, for an app that changes or makes them in code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from remotejob.domain.errors import SettingsError
from remotejob.domain.text import shown
from remotejob.settings import Settings, parse


def as_toml(settings: Settings) -> str:
    """The text of a settings file that says the same.

    It needs tomli-w, of the extra `cdk`. Raises: SettingsError, for settings that no file may have.
    """
    # imported here: functions read settings, and write none
    import tomli_w

    document = _plain(settings)
    parse(document)
    return tomli_w.dumps(document)


def _plain(value: Any, where: str = "") -> Any:
    match value:
        case None:
            raise SettingsError(f"{where} is None, which TOML does not have: leave it out")
        case Enum():
            return value.value
        case Mapping():
            return {key: _plain(inner, f"{where}[{shown(key)}]") for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner, f"{where}[{at}]") for at, inner in enumerate(value)]
    if is_dataclass(value):
        found = {field.name: getattr(value, field.name) for field in fields(value)}
        return {
            name: _plain(inner, f"{where}.{name}".removeprefix("."))
            for name, inner in found.items()
            # what is empty is the default of its key
            if inner not in (None, (), {})
        }
    return value
