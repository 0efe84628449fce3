"""Secrets of a queue's workers: where the value of a variable is, never the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn

from remotejob.domain.errors import SettingsError
from remotejob.settings.table import Table
from remotejob.settings.variables import check_name, secret_kind

MOST: Final = 40
"""Of a queue: the role that reads them has 10,240 characters for its policies."""

_PARAMETER: Final = re.compile(r"[A-Za-z0-9_.-]+|(/[A-Za-z0-9_.-]+){1,15}")
_SECRET: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_SUFFIX: Final = re.compile(r".*-[A-Za-z0-9]{6}")
_SECRET_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:"
    r"[A-Za-z0-9/_+=.@-]{1,512}-[A-Za-z0-9]{6}"
)
_JSON_KEY: Final = re.compile(r"[^\s:\"\\]{1,255}")
_KMS_KEY: Final = re.compile(
    r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/"
    r"(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
"""Source: AWS KMS Developer Guide, "Key identifiers (KeyId)"."""
_EXAMPLE: Final = '{ parameter = "/scans/ocr-key" } or { secret = "scans/db", key = "password" }'


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """Where ECS finds the value of a variable when a worker starts."""

    parameter: str | None = None
    """Name of a SecureString in the Parameter Store."""
    secret: str | None = None
    """Name, or whole ARN, of a secret in Secrets Manager."""
    key: str | None = None
    """The key of the value, if the secret is a JSON object."""
    encryption_key: str | None = None
    """ARN of the customer's KMS key that encrypts it; None for the key that AWS manages."""

    @property
    def secret_is_arn(self) -> bool:
        return self.secret is not None and self.secret.startswith("arn:")

    def __str__(self) -> str:
        if self.parameter is not None:
            return f"parameter {self.parameter}"
        return f"secret {self.secret}" + (f", key {self.key}" if self.key else "")


def read_secrets(table: Table, taken: Mapping[str, str]) -> Mapping[str, Secret]:
    """The secrets of a queue, by variable; `taken` are its plain ones. Raises: SettingsError."""
    where, values = table.named("secrets")
    if len(values) > MOST:
        raise SettingsError(
            f"{where} names {len(values)}: at most {MOST}; keep several in one JSON secret, which"
            " the task reads as a whole"
        )
    for name in values:
        check_name(where, name)
        if name in taken:
            raise SettingsError(f"{where}: {name} is in `environment`, too; name it in one of them")
    return MappingProxyType({name: _read(where, name, value) for name, value in values.items()})


def _read(where: str, name: str, value: Any) -> Secret:
    if not isinstance(value, Mapping):
        # it may be the secret itself, so the message does not show it
        raise SettingsError(
            f"{where}: {name}: say where the value is, such as {_EXAMPLE}; the value itself never"
            " belongs in this file"
        )
    table = Table(value, where=f"{where} {name}", of=Secret)
    for key, text in value.items():
        is_path = not isinstance(text, str) or text.startswith("/")
        kind = None if is_path else secret_kind(text)
        if kind is not None:
            raise SettingsError(
                f"{table.where}: {key} holds {kind}: put its value where the deployment finds it,"
                f" and name that place here: {_EXAMPLE}"
            )
    found = Secret(**{key: table.value(key, str) for key in value})
    if (found.parameter is None) == (found.secret is None):
        raise SettingsError(f"{table.where}: name one parameter or one secret: {_EXAMPLE}")
    if found.parameter is not None:
        _check_parameter(table, found.parameter)
        if found.key is not None:
            table.fail("key", found.key, "only a secret has keys; leave it out")
    if found.secret is not None:
        _check_secret(table, found.secret)
    if found.key is not None and not _JSON_KEY.fullmatch(found.key):
        table.fail(
            "key", found.key, "name a key of the JSON object, without colons, quotes or spaces"
        )
    read_key(table, "encryption_key")
    return found


def read_key(table: Table, key: str) -> str | None:
    """The ARN of a KMS key; None if it is left out. Raises: SettingsError."""
    if not table.has(key):
        return None
    arn: str = table.value(key, str)
    if not _KMS_KEY.fullmatch(arn):
        table.fail(
            key,
            arn,
            "give the ARN of the KMS key, arn:aws:kms:REGION:ACCOUNT:key/ID; IAM knows no aliases",
        )
    return arn


def _refuse(table: Table, key: str, name: str, remedy: str) -> NoReturn:
    """Without the name, unless it looks like one: it may be the secret itself."""
    if "/" in name or not name:
        table.fail(key, name, remedy)
    raise SettingsError(f"{table.where}: {key}: {remedy}; the value itself never belongs here")


def _check_parameter(table: Table, name: str) -> None:
    """Source: AWS Systems Manager API Reference, PutParameter, Name."""
    if not _PARAMETER.fullmatch(name) or len(name) > 900:
        _refuse(
            table,
            "parameter",
            name,
            "give the parameter's name, such as '/scans/ocr-key': letters, digits and _.-, and with"
            " slashes one at the beginning",
        )
    if name.lstrip("/").lower().startswith(("aws", "ssm")):
        table.fail(
            "parameter",
            name,
            "no parameter of yours can begin so; for Secrets Manager, say `secret`",
        )


def _check_secret(table: Table, name: str) -> None:
    """Source: AWS Secrets Manager API Reference, CreateSecret, Name."""
    if name.startswith("arn:"):
        if not _SECRET_ARN.fullmatch(name):
            table.fail(
                "secret", name, "give its name, or its whole ARN, which ends with six characters"
            )
    elif not _SECRET.fullmatch(name):
        _refuse(table, "secret", name, "give its name: letters, digits and /_+=.@-, at most 512")
    elif _SUFFIX.fullmatch(name):
        table.fail(
            "secret",
            name,
            "Secrets Manager takes a name that ends with a dash and six characters for an ARN's"
            " end; give the secret's whole ARN",
        )
