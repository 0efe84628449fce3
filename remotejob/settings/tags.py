"""Tags of everything that is deployed, such as for a bill by cost centre."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from remotejob.domain.errors import SettingsError
from remotejob.domain.text import shown
from remotejob.settings.table import Table, fail

MOST: Final = 40
"""AWS takes 50 for a resource; some are the library's and the CDK's.
Source: AWS General Reference, "Tag naming limits and requirements"."""

QUEUE_TAG: Final = "remotejob-queue"
"""Names the queue of a worker, so that a bill tells the queues apart."""

OWN: Final = frozenset({"remotejob", QUEUE_TAG, "name"})
"""Tags of the library, and the one by which a VPC's parts are named."""

_KEY: Final = re.compile(r"[\w .:/=+@-]{1,128}")
_VALUE: Final = re.compile(r"[\w .:/=+@-]{0,256}")
_CHARACTERS: Final = "letters, digits, spaces and _.:/=+-@"


def read_tags(table: Table) -> Mapping[str, str]:
    """The tags of a system. Raises: SettingsError."""
    where, values = table.named("tags")
    if len(values) > MOST:
        raise SettingsError(f"{where} has {len(values)} tags: give at most {MOST}")
    taken = dict.fromkeys(OWN, "the library's own")
    for key, value in values.items():
        _check(where, key, value)
        other = taken.get(key.lower())
        if other is not None:
            raise SettingsError(
                f"{where}: tag {key!r}: choose another name, it is {other}; IAM tells no upper case"
                " from lower case"
            )
        taken[key.lower()] = f"the same as {key!r}"
    return MappingProxyType(dict(values))


def _check(where: str, key: str, value: object) -> None:
    if not _KEY.fullmatch(key) or key != key.strip():
        raise SettingsError(f"{where}: tag {shown(key)}: use 1 to 128 {_CHARACTERS}")
    if key.lower().startswith("aws:"):
        raise SettingsError(
            f"{where}: tag {shown(key)}: names that begin with aws: are AWS's; choose another"
        )
    if not isinstance(value, str):
        fail(where, key, value, "it must be a string; put it in quotes")
    if not _VALUE.fullmatch(value) or value != value.strip():
        fail(where, key, value, f"use at most 256 {_CHARACTERS}")
