"""Reads the descriptions of systems and queues from SSM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from remotejob.backends.aws.account import Account
from remotejob.backends.aws.system_description import DescribedQueue, SystemDescription
from remotejob.domain.errors import AccessProblem, SettingsError, SystemNotFound
from remotejob.names import UploadsKey, queues_path, system_parameter, uploads_parameter
from remotejob.ports import Channel


def read_system(system: str, account: Account) -> SystemDescription:
    """The description of a deployed system, without its queues.

    Raises: SystemNotFound; AccessProblem, when AWS cannot be reached or refuses; SettingsError.
    """
    name = system_parameter(system)
    with _explained(system, account, "ssm:GetParameter", name):
        text: str = account.ssm.get_parameter(Name=name)["Parameter"]["Value"]
    return SystemDescription.from_json(text, origin=f"SSM parameter {name}")


def read_queues(system: str, account: Account) -> dict[str, DescribedQueue]:
    """The descriptions of all queues of a deployed system, ten for each request.

    Raises: AccessProblem, when AWS cannot be reached or refuses; SettingsError.
    Source: AWS Systems Manager API Reference, GetParametersByPath.
    """
    path = queues_path(system)
    with _explained(system, account, "ssm:GetParametersByPath", path):
        pages = account.ssm.get_paginator("get_parameters_by_path").paginate(Path=path)
        found = [(one["Name"], one["Value"]) for page in pages for one in page["Parameters"]]
    names = {parameter: parameter.rpartition("/")[2] for parameter, _ in found}
    return {
        names[parameter]: DescribedQueue.from_json(
            text, name=names[parameter], origin=f"SSM parameter {parameter}"
        )
        for parameter, text in found
    }


def read_uploads(system: str, account: Account) -> dict[Channel, str]:
    """The URLs of the queues of a system's uploads.

    Raises: SettingsError, when the system was deployed by a version that did not describe them;
    AccessProblem, when AWS cannot be reached or refuses.
    """
    name = uploads_parameter(system)
    try:
        with _explained(system, account, "ssm:GetParameter", name):
            text: str = account.ssm.get_parameter(Name=name)["Parameter"]["Value"]
        described = json.loads(text)
        return {Channel(key.value): str(described[key]) for key in UploadsKey}
    except (SystemNotFound, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"SSM parameter {name} does not say where the uploads of system {system!r} are; "
            "deploy it again with this version"
        ) from None


@contextmanager
def _explained(system: str, account: Account, call: str, name: str) -> Iterator[None]:
    """Say what AWS's refusals mean. Raises: SystemNotFound, AccessProblem."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as problem:
        raise AccessProblem(
            f"no AWS credentials ({problem}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or start `remotejob local` in the project's folder"
        ) from None
    except ClientError as refusal:
        code = refusal.response["Error"]["Code"]
        if code == "ParameterNotFound":
            raise SystemNotFound(
                f"no system {system!r} in region {account.region}: there is no SSM parameter "
                f"{name}; deploy it with `make deploy`, or check AWS_REGION and the name"
            ) from None
        raise AccessProblem(
            f"AWS refused to look up system {system!r} ({code}: "
            f"{refusal.response['Error']['Message']}); check the credentials and {call} on {name}"
        ) from None
    except BotoCoreError as problem:
        raise AccessProblem(
            f"cannot reach AWS ({problem}); check the network, AWS_REGION and AWS_ENDPOINT_URL"
        ) from None
