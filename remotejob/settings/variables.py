"""Environment variables of a queue's workers: which names are free, and which values are allowed.

All who may describe a task definition can read these values, so what looks like a secret is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from remotejob.domain.errors import SettingsError
from remotejob.domain.text import shown
from remotejob.settings.table import Table, fail

MOST_BYTES: Final = 32 * 1024
"""Of the names and values together. Source: Amazon ECS service quotas: a task definition has
64 KiB, which also hold the rest of it."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_DOCKERFILE: Final = "the image sets it: use ENV in the Dockerfile"
_OWNED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "REMOTEJOB_": "the library sets such variables, from the queue's other keys",
        "AWS_": "ECS and the library set such variables; rights are given by `permissions`",
        "ECS_": "ECS sets such variables",
        "PYTHON": _DOCKERFILE,
        "LD_": _DOCKERFILE,
    }
)
"""By how the names begin."""
_RESERVED: Final = frozenset({"HOME", "HOSTNAME", "PATH", "TEMP", "TMP", "TMPDIR"})

_SECRET_NAME: Final = re.compile(
    r"(?i)(.*_)?(password|passwd|passphrase|secret|token|credentials?|(api|access|private)_?key)"
)
"""Only ends of names: MAX_TOKENS, TOKEN_LIMIT and SECRET_NAME are no secrets."""
_SECRET_VALUES: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
        "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
        "an access token": re.compile(
            r"\b(gh[pousr]_[A-Za-z0-9]{30}|github_pat_|xox[abprs]-|sk[-_][A-Za-z0-9_-]{20})"
        ),
        "a URL with a password": re.compile(
            r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^/\s:@]{0,200}:[^/\s@]+@"
        ),
    }
)


def check_name(where: str, name: str) -> None:
    """Refuse a name that no variable can have, or that is not free. Raises: SettingsError."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{where}: variable {shown(name)}: use letters, digits and underscores, at most 128, "
            "and no digit first"
        )
    for prefix, remedy in _OWNED.items():
        if name.startswith(prefix):
            raise SettingsError(f"{where}: variable {name!r}: {remedy}")
    if name in _RESERVED:
        raise SettingsError(f"{where}: variable {name!r}: {_DOCKERFILE}")


def read_environment(table: Table) -> Mapping[str, str]:
    """The variables of a queue, by name. Raises: SettingsError."""
    where, values = table.named("environment")
    for name, value in values.items():
        check_name(where, name)
        _check_value(where, name, value)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in values.items())
    if size > MOST_BYTES:
        raise SettingsError(
            f"{where} has {size:,} bytes, and a task definition has room for {MOST_BYTES:,}:"
            " put what is long into a file of the image, or into S3"
        )
    return MappingProxyType(dict(values))


def secret_kind(value: str) -> str | None:
    """What kind of secret a value is, as far as one can see; None if it looks like none."""
    return next((kind for kind, like in _SECRET_VALUES.items() if like.search(value)), None)


def _check_value(where: str, name: str, value: Any) -> None:
    # no message shows a text, which may be a secret
    kind = secret_kind(value) if isinstance(value, str) else None
    if kind is None and _SECRET_NAME.fullmatch(name):
        kind = "a secret, by its name"
    if kind is not None:
        raise SettingsError(
            f"{where}: {name} holds {kind}, and everybody who may describe the task can read it: "
            f"name it under `secrets` instead, which says where its value is"
        )
    if isinstance(value, list | Mapping):
        raise SettingsError(f"{where}: {name} holds several values; write one string")
    if not isinstance(value, str):
        fail(where, name, value, "it must be a string; put it in quotes")
    if "{{resolve:" in value or "${Token[" in value:
        raise SettingsError(
            f"{where}: {name} has a reference that the deployment would replace; for a secret, "
            "use `secrets`"
        )
    if any(not letter.isprintable() and letter not in "\t\r\n" for letter in value):
        raise SettingsError(
            f"{where}: {name} has a control character; write it as text, such as base64"
        )
