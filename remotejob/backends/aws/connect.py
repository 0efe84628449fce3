"""Connects to a system by its name, or by the environment of a worker or function."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from remotejob.backends.aws.account import DEFAULT_POLICY, Account
from remotejob.backends.aws.files import S3Files
from remotejob.backends.aws.fleet import EcsFleet
from remotejob.backends.aws.messages import SqsMessages
from remotejob.backends.aws.service import DYNAMODB, SQS
from remotejob.backends.aws.store import DynamoStore
from remotejob.backends.aws.system_description import SystemDescription
from remotejob.backends.clock import SystemClock
from remotejob.domain.errors import AccessProblem, SettingsError, SystemNotFound
from remotejob.domain.unreadable import SkippedItems
from remotejob.names import Env, system_parameter
from remotejob.ports import Area, Clock, Installation

if TYPE_CHECKING:
    import boto3


def connect(
    system: str, *, session: boto3.Session | None = None, clock: Clock | None = None
) -> Installation:
    """Connect to the system deployed under this name in the session's account and region.

    Workers and functions have its description in their environment; elsewhere one request reads
    it from SSM.

    Raises: SystemNotFound; AccessProblem, when AWS cannot be reached or refuses; SettingsError.
    """
    described = os.environ.get(Env.SYSTEM)
    if described is not None:
        description = SystemDescription.from_json(described, origin=Env.SYSTEM)
        if description.name == system:
            return installation(description, account=Account(session), clock=clock)
    account = Account(session)
    name = system_parameter(system)
    text = _read_parameter(account, name, system)
    description = SystemDescription.from_json(text, origin=f"SSM parameter {name}")
    return installation(description, account=account, clock=clock)


def from_environment(*, clock: Clock | None = None) -> Installation:
    """Connect to the system this worker or function belongs to.

    Raises: SettingsError, when the environment does not describe one.
    """
    described = os.environ.get(Env.SYSTEM)
    if described is None:
        raise SettingsError(
            f"the environment variable {Env.SYSTEM} is not set; the stacks set it on workers and "
            "functions: start this from the deployed task definition, or with `remotejob local`"
        )
    description = SystemDescription.from_json(described, origin=Env.SYSTEM)
    return installation(description, account=Account(), clock=clock)


def installation(
    description: SystemDescription, *, account: Account, clock: Clock | None = None
) -> Installation:
    """The ports of a described system."""
    clock = clock or SystemClock()
    buckets = {Area.INPUT: description.input_bucket, Area.OUTPUT: description.output_bucket}
    dynamodb, skipped = account.service(DYNAMODB, clock=clock), SkippedItems()
    return Installation(
        name=description.name,
        store=DynamoStore(dynamodb, description.table, clock, skipped=skipped),
        messages=SqsMessages(account.service(SQS, clock=clock), description.urls, clock),
        files=S3Files(account.s3, buckets, direct=account.objects(buckets.values(), clock=clock)),
        clock=clock,
        entropy=os.urandom,
        queues=description.queues,
        lease=description.lease,
        skew=description.skew,
        retention=description.retention,
        readable_buckets=description.readable_buckets,
        max_depth=description.max_depth,
        clock_ahead=account.heard_time.clock_ahead(clock),
        fleet=EcsFleet(
            account, system=description.name, queues=tuple(description.queues), clock=clock
        ),
        account=description.account,
        region=account.region,
        skipped=skipped,
    )


def _read_parameter(account: Account, name: str, system: str) -> str:
    try:
        client = account.client("ssm", DEFAULT_POLICY)
        text: str = client.get_parameter(Name=name)["Parameter"]["Value"]
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
            f"{refusal.response['Error']['Message']}); check the credentials and ssm:GetParameter "
            f"on {name}"
        ) from None
    except BotoCoreError as problem:
        raise AccessProblem(
            f"cannot reach AWS ({problem}); check the network, AWS_REGION and AWS_ENDPOINT_URL"
        ) from None
    return text
