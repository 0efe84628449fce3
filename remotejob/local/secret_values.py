"""Values of secrets on this machine: from a file of the user's into the embedded AWS.

The file lies next to the settings and is named in `.gitignore`. It has one line for each variable:

    OCR_KEY = "…"

The values go into the embedded Parameter Store and Secrets Manager. From there workers get them as
in AWS. No message shows one.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remotejob.domain.errors import SettingsError
from remotejob.domain.text_files import Unreadable, decode
from remotejob.local import private_files
from remotejob.local.deployment import ClientFactory
from remotejob.settings import QueueSettings, Secret, Settings

FILE: Final = "secrets.local.toml"
_Place = tuple[str | None, str | None, str | None]
"""Parameter, secret and key."""
_Found = tuple[str, str]
"""A variable and its value."""
_PARAMETER_BYTES: Final = 4096
"""Of a standard parameter. Source: AWS Systems Manager User Guide, "Managing parameter tiers"."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class SecretValues:
    """What the parameters and secrets of the settings hold on this machine."""

    parameters: Mapping[str, str]
    """By name."""
    secrets: Mapping[str, str]
    """By name, or by ARN where the settings give that."""

    def put(self, client: ClientFactory) -> None:
        """Put them into the embedded AWS; values that are there are replaced."""
        for name, value in self.parameters.items():
            client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
        for place, value in self.secrets.items():
            _put_secret(client("secretsmanager"), place, value)


def read(settings: Settings, folder: Path) -> SecretValues:
    """Read the values that the settings need; the file is not touched if they need none.

    Raises: SettingsError, naming the variable, the file and what to write into it; NotPrivate, for
    a file that is a link or another user's.
    """
    found: dict[_Place, _Found] = {}
    for name, queue in settings.queues.items():
        for variable, value in _variables(name, queue.secrets, folder).items():
            secret = queue.secrets[variable]
            place = (secret.parameter, secret.secret, secret.key)
            other, same = found.setdefault(place, (variable, value))
            if same != value:
                raise SettingsError(
                    f"{folder / FILE}: {other} and {variable} are both {secret}: give them the same"
                    " value"
                )
    return SecretValues(
        parameters={
            parameter: value for (parameter, _, _), (_, value) in found.items() if parameter
        },
        secrets={secret: _whole(secret, found, folder / FILE) for _, secret, _ in found if secret},
    )


def _whole(secret: str, found: Mapping[_Place, _Found], file: Path) -> str:
    """What a secret of Secrets Manager holds: one value, or a JSON object of several."""
    keys = {key: value for (_, name, key), (_, value) in found.items() if name == secret and key}
    if (None, secret, None) not in found:
        return json.dumps(keys)
    variable, whole = found[None, secret, None]
    if not _has(whole, keys):
        raise SettingsError(
            f"{file}: {variable} is the whole of secret {secret}: make it JSON with the keys"
            f" {', '.join(sorted(keys))}, and the values of their variables"
        )
    return whole


def of_queue(name: str, queue: QueueSettings, folder: Path) -> Mapping[str, str]:
    """The values of a queue's secrets by variable, for a task that no worker runs.

    Variables of this process's environment need no value there. Raises: as `read`.
    """
    wanted = {one: secret for one, secret in queue.secrets.items() if one not in os.environ}
    return _variables(name, wanted, folder)


def _variables(queue: str, secrets: Mapping[str, Secret], folder: Path) -> dict[str, str]:
    """The values of a queue's secrets, by variable; the file is not read if there are none."""
    if not secrets:
        return {}
    file = folder / FILE
    values = _values(file)
    for variable, secret in secrets.items():
        _check(file, f"[queues.{queue}.secrets]", variable, secret, values)
    return {variable: values[variable] for variable in secrets}


def _values(file: Path) -> dict[str, Any]:
    """The lines of the file; none if it is not there."""
    try:
        private_files.make_file_private(file)
        content = private_files.read_file(file)
    except FileNotFoundError:
        return {}
    try:
        return tomllib.loads(decode(content))
    except (Unreadable, tomllib.TOMLDecodeError, RecursionError):
        # the parser's message may quote the file
        raise SettingsError(
            f'{file}: not TOML; write one line for each secret, such as NAME = "value"'
        ) from None


def _check(
    file: Path, where: str, variable: str, secret: Secret, values: Mapping[str, Any]
) -> None:
    if variable not in values:
        raise SettingsError(
            f"{where}: {variable} ({secret}) has no value on this machine: write the line"
            f' {variable} = "…" into {file}, and keep that file out of version control'
        )
    value = values[variable]
    if not isinstance(value, str) or not value:
        raise SettingsError(f'{file}: {variable} must be text in quotes: {variable} = "…"')
    if secret.parameter is not None and len(value.encode()) > _PARAMETER_BYTES:
        raise SettingsError(
            f"{file}: {variable} is longer than the {_PARAMETER_BYTES:,} bytes of a parameter; keep"
            " it in Secrets Manager"
        )


def _has(text: str, keys: Mapping[str, str]) -> bool:
    if not keys:
        return True
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(whole, dict) and whole.items() >= keys.items()


def _put_secret(client: Any, place: str, value: str) -> None:
    # A secret of another account stands here under the last part of its ARN, which moto looks for;
    # the description says for which ARN it stands.
    name = place.rpartition(":")[2]
    try:
        client.create_secret(Name=name, SecretString=value, Description=place)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=value)
