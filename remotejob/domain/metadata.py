"""What may be noted of a stored file, and how it is written where only ASCII is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from remotejob.domain.errors import InvalidData, InvalidName

METADATA_LIMIT: Final = 2048
"""Bytes of names and values together. Source: Amazon S3, "User-defined object metadata"."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_AS_THEY_ARE: Final = "!\"#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""All of ASCII that shows, but `%`: it begins an encoded byte."""


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Names and texts that a file can carry.

    Raises: InvalidName; InvalidData, for what is no text, or too much.
    """
    for name, value in metadata.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidName(
                f"metadata {name!r}: S3 takes small letters, digits, dashes and underscores; "
                "rename it"
            )
        if not isinstance(value, str):
            raise InvalidData(f"metadata {name}={value!r}: metadata are text; use str() or data")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidData(f"metadata {name}={value!r}: this is no text; encode it") from None
    size = sum(len(name) + len(value) for name, value in encoded(metadata).items())
    if size > METADATA_LIMIT:
        raise InvalidData(
            f"metadata of {size} bytes: S3 takes {METADATA_LIMIT}, names included, and a letter "
            "beyond ASCII counts several times; put the rest into the body"
        )
    return dict(metadata)


def encoded(metadata: Mapping[str, str]) -> dict[str, str]:
    """Values in ASCII without spaces, which a header may lose: percent-encoded UTF-8."""
    return {name: quote(value, safe=_AS_THEY_ARE) for name, value in metadata.items()}


def decoded(metadata: Mapping[str, str]) -> dict[str, str]:
    """Values as they were before `encoded`."""
    return {name: unquote(value) for name, value in metadata.items()}
