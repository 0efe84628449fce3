"""Metadata of stored files: the rules, and an ASCII encoding for HTTP headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import quote, unquote

from remotejob.domain.argument_checks import check_text, is_a, plain_text, reading
from remotejob.domain.errors import InvalidData, InvalidName
from remotejob.domain.text import shown

METADATA_LIMIT: Final = 2048
"""Bytes of names and values together. Source: Amazon S3, "User-defined object metadata"."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_AS_THEY_ARE: Final = "!\"#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""All printable ASCII except `%`, which begins an encoded byte."""


def check_metadata(metadata: object) -> dict[str, str]:
    """A copy of the metadata, if a file can carry them.

    Raises: InvalidName; InvalidData, if a value is not text or they are too large.
    """
    if not is_a(metadata, Mapping):
        raise InvalidData(f"metadata={shown(metadata)}: give a dict of texts")
    with reading("metadata"):
        given = list(cast("Mapping[object, object]", metadata).items())
    checked: dict[str, str] = {}
    for name, value in given:
        plain = plain_text(name)
        if plain is None or not _NAME.fullmatch(plain):
            raise InvalidName(
                f"metadata {shown(name)}: use lower-case letters, digits, dashes and underscores; "
                "rename it"
            )
        checked[plain] = check_text(f"metadata {plain}", value, remedy="use str(), or job data")
    size = sum(len(name) + len(value) for name, value in encoded(checked).items())
    if size > METADATA_LIMIT:
        raise InvalidData(
            f"metadata of {size} bytes: S3 allows {METADATA_LIMIT}, names included, and a letter "
            "beyond ASCII takes several bytes; put the rest into the body"
        )
    return checked


def encoded(metadata: Mapping[str, str]) -> dict[str, str]:
    """The values percent-encoded: in ASCII, without spaces, which a header may lose."""
    return {name: quote(value, safe=_AS_THEY_ARE) for name, value in metadata.items()}


def decoded(metadata: Mapping[str, str]) -> dict[str, str]:
    """The values as they were before `encoded`."""
    return {name: unquote(value) for name, value in metadata.items()}
