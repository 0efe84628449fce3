"""Assets: the files that `TakenJob.complete` takes, in the form of the JavaScript remotejob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob.domain.errors import InvalidBody, InvalidData, InvalidName
from remotejob.domain.name_rules import check_output_name
from remotejob.jobs.content.bodies import is_binary

_UNNAMED: Final = "output"
_FIELDS: Final = ("key", "name", "filename", "body")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file to store as an output."""

    name: str
    body: bytes | Path | str | BinaryIO


def read_assets(listed: Sequence[Mapping[str, Any]]) -> list[Asset]:
    """Check assets and name them.

    Raises: InvalidData; InvalidName, also when two have one name; InvalidBody.
    """
    if isinstance(listed, Mapping | str | bytes):
        raise InvalidData(f"assets={listed!r}: give a list of dicts")
    assets = [_read(asset) for asset in listed]
    names = [asset.name for asset in assets]
    for name in names:
        if names.count(name) > 1:
            raise InvalidName(f"two assets have the name {name!r}; give each its own filename")
    return assets


def _read(asset: Mapping[str, Any]) -> Asset:
    if not isinstance(asset, Mapping):
        raise InvalidData(f"asset {asset!r}: give a dict with {', '.join(_FIELDS)}")
    unknown = sorted(set(asset) - set(_FIELDS))
    if unknown:
        raise InvalidData(f"asset with {', '.join(unknown)}: use only {', '.join(_FIELDS)}")
    name = asset.get("filename") or asset.get("key") or asset.get("name") or _UNNAMED
    check_output_name(name)
    body = asset.get("body")
    if isinstance(body, bytes):
        return Asset(name=name, body=body)
    if isinstance(body, str | Path):
        if not Path(body).is_file():
            raise InvalidBody(
                f"asset {name!r}: {str(body)[:80]!r} is not a file; give the path of one, or the "
                "content as bytes"
            )
        return Asset(name=name, body=body)
    if body is None or not is_binary(body):
        raise InvalidBody(
            f"asset {name!r}: give its body as bytes, a path, or a file open in mode 'rb'"
        )
    return Asset(name=name, body=body)
