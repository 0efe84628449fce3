"""Assets: the files that `TakenJob.complete` takes, in the form of the JavaScript remotejob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.argument_checks import check_items, is_a, plain_text, reading
from remotejob.domain.errors import InvalidBody, InvalidData, InvalidName
from remotejob.domain.name_rules import check_output_name
from remotejob.domain.text import cut, shown
from remotejob.jobs.content.bodies import Body, check_body

_UNNAMED: Final = "output"
_FIELDS: Final = ("key", "name", "filename", "body")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file to store as an output."""

    name: str
    body: Body


def read_assets(listed: Sequence[Mapping[str, Any]]) -> list[Asset]:
    """Check assets and name them.

    Raises: InvalidData; InvalidName, also when two have one name; InvalidBody.
    """
    remedy = "give a list of dicts"
    if is_a(listed, Mapping):
        raise InvalidData(f"assets={shown(listed)}: {remedy}")
    assets = [_read(asset) for asset in check_items("assets", listed, remedy=remedy)]
    names = [asset.name for asset in assets]
    for name in names:
        if names.count(name) > 1:
            raise InvalidName(f"two assets have the name {shown(name)}; give each its own filename")
    return assets


def _read(asset: Mapping[str, Any]) -> Asset:
    if not is_a(asset, Mapping):
        raise InvalidData(f"asset {shown(asset)}: give a dict with {', '.join(_FIELDS)}")
    with reading("asset"):
        given = dict(asset)
        unknown = [name for name in given if plain_text(name) not in _FIELDS]
    if unknown:
        named = cut(", ".join(shown(name) for name in unknown), 300)
        raise InvalidData(f"asset with {named}: use only {', '.join(_FIELDS)}")
    named_by = (given.get(field) for field in ("filename", "key", "name"))
    # an empty name counts as none
    chosen = next((name for name in named_by if name is not None and plain_text(name) != ""), None)
    name = check_output_name(_UNNAMED if chosen is None else chosen)
    if given.get("body") is None:
        raise InvalidBody(
            f"asset {shown(name)}: give its body as bytes, a path, or a file open in mode 'rb'"
        )
    return Asset(name=name, body=check_body(given["body"], what=f"asset {shown(name)}: body"))
