"""Read the secrets of a task as the ECS agent does: with the execution role, before it starts.

Source: Amazon ECS Developer Guide, "Pass Secrets Manager secrets through Amazon ECS environment
variables" and "Pass Systems Manager parameters through Amazon ECS environment variables".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from remotejob.local import clients
from remotejob.local.control import Control
from remotejob.local.errors import SecretNotRead

_ARN_PARTS: Final = 7
"""Parts of a secret's ARN; key, stage and version may follow."""


def read(
    secrets: Mapping[str, str], *, role_arn: str, session: str, control: Control, region: str
) -> dict[str, str]:
    """The values of a task's secrets by variable; `secrets` says where each is.

    Raises: SecretNotRead, when the role may not read one, or it is not there.
    """
    if not secrets:
        return {}
    granted = control.post("tasks", {"role_arn": role_arn, "session": session})
    agent = Control(endpoint_url=control.endpoint_url, token=granted["token"])
    credentials = agent.get(granted["path"])
    made = clients.make_session(
        {
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["Token"],
            "AWS_REGION": region,
        }
    )

    def client(service: str) -> Any:
        return clients.make_client(made, service, endpoint_url=control.endpoint_url)

    values = {}
    for variable, place in secrets.items():
        try:
            values[variable] = _read(client, place)
        except ClientError as problem:
            error = problem.response["Error"]
            raise SecretNotRead(
                f"{variable}: ECS would start no worker, because it cannot read {place}: "
                f"{error['Code']}: {error['Message']}"
            ) from None
        except LookupError as problem:
            raise SecretNotRead(
                f"{variable}: ECS would start no worker, because {problem.args[0]}"
            ) from None
    return values


def _read(client: Any, place: str) -> str:
    """Raises: ClientError; LookupError, with what is missing."""
    if ":secretsmanager:" not in place:
        answer = client("ssm").get_parameters(Names=[place], WithDecryption=True)
        if not answer["Parameters"]:
            raise LookupError(f"there is no parameter {place}")
        return str(answer["Parameters"][0]["Value"])
    parts = place.split(":")
    key = (parts[_ARN_PARTS:] or [""])[0]
    secret = ":".join(parts[:_ARN_PARTS])
    text = str(client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    return _at(text, key, secret) if key else text


def _at(text: str, key: str, secret: str) -> str:
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if not isinstance(whole, dict) or key not in whole:
        raise LookupError(f"the secret {secret} is no JSON object with the key {key!r}")
    value = whole[key]
    return value if isinstance(value, str) else json.dumps(value)
