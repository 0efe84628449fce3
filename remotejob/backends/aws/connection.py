"""From a system's name, or the environment, to the ports of the system."""

from __future__ import annotations

import os
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

from remotejob.backends.aws.files import S3Files
from remotejob.backends.aws.messages import SqsMessages
from remotejob.backends.aws.refusals import explain_refusals
from remotejob.backends.aws.store import DynamoStore
from remotejob.backends.clock import SystemClock
from remotejob.domain.errors import AccessProblem, SettingsError, SystemNotFound
from remotejob.names import Env, system_parameter
from remotejob.ports import Area, Clock, Installation
from remotejob.system import SystemDescription

_CONFIG: Final = Config(
    retries={"mode": "standard", "max_attempts": 5},
    # twice the longest poll a lane can have open, beside a thread a job
    max_pool_connections=64,
    connect_timeout=5,
    read_timeout=40,
    user_agent_extra="remotejob",
)

_QUICK: Final = _CONFIG.merge(
    # a table answers in milliseconds or not at all, and a heartbeat must not wait out its lease
    Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=3, read_timeout=5)
)


def connect(
    system: str, *, session: boto3.Session | None = None, clock: Clock | None = None
) -> Installation:
    """The system deployed under that name, in the session's account and region.

    Inside a worker or a function the description is in the environment; elsewhere it is read
    from SSM, in one request.

    Raises: SystemNotFound; AccessProblem, when AWS cannot be asked; SettingsError.
    """
    session = session or _session()
    described = os.environ.get(Env.SYSTEM)
    if described is not None:
        description = SystemDescription.from_json(described, origin=Env.SYSTEM)
        if description.name == system:
            return installation(description, session=session, clock=clock)
    name = system_parameter(system)
    text = _read_parameter(session, name, system)
    description = SystemDescription.from_json(text, origin=f"SSM parameter {name}")
    return installation(description, session=session, clock=clock)


def from_environment(*, clock: Clock | None = None) -> Installation:
    """The system this worker or function belongs to.

    Raises: SettingsError, when the environment does not say.
    """
    described = os.environ.get(Env.SYSTEM)
    if described is None:
        raise SettingsError(
            f"the environment variable {Env.SYSTEM} is not set; the stacks set it on workers and "
            "functions: start this from the deployed task definition, or with `remotejob local`"
        )
    description = SystemDescription.from_json(described, origin=Env.SYSTEM)
    return installation(description, session=_session(), clock=clock)


def installation(
    description: SystemDescription, *, session: boto3.Session, clock: Clock | None = None
) -> Installation:
    """The ports of a described system."""
    clock = clock or SystemClock()
    buckets = {Area.INPUT: description.input_bucket, Area.OUTPUT: description.output_bucket}
    try:
        dynamodb = session.client("dynamodb", config=_QUICK)
        sqs = session.client("sqs", config=_CONFIG)
        s3 = session.client("s3", config=_CONFIG)
    except NoRegionError:
        raise _no_region() from None
    for client in (dynamodb, sqs, s3):
        explain_refusals(client)
    return Installation(
        name=description.name,
        store=DynamoStore(dynamodb, description.table, clock),
        messages=SqsMessages(sqs, description.urls, clock),
        files=S3Files(s3, buckets),
        clock=clock,
        entropy=os.urandom,
        queues=description.queues,
        lease=description.lease,
        retention=description.retention,
    )


def _session() -> boto3.Session:
    # boto3 reads AWS_DEFAULT_REGION alone; the other SDKs, and AWS's own containers, say AWS_REGION
    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)


def _read_parameter(session: boto3.Session, name: str, system: str) -> str:
    try:
        client: Any = session.client("ssm", config=_CONFIG)
        text: str = client.get_parameter(Name=name)["Parameter"]["Value"]
    except NoRegionError:
        raise _no_region() from None
    except (NoCredentialsError, PartialCredentialsError) as problem:
        raise AccessProblem(
            f"no AWS credentials ({problem}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or start `remotejob local` and export what it prints"
        ) from None
    except ClientError as refusal:
        code = refusal.response["Error"]["Code"]
        if code == "ParameterNotFound":
            raise SystemNotFound(
                f"no system {system!r} in region {session.region_name}: there is no SSM parameter "
                f"{name}; deploy it with `make deploy`, or check AWS_REGION and the name"
            ) from None
        raise AccessProblem(
            f"AWS refused to say where system {system!r} is ({code}: "
            f"{refusal.response['Error']['Message']}); check the credentials and ssm:GetParameter "
            f"on {name}"
        ) from None
    except BotoCoreError as problem:
        raise AccessProblem(
            f"cannot reach AWS ({problem}); check the network, AWS_REGION and AWS_ENDPOINT_URL"
        ) from None
    return text


def _no_region() -> AccessProblem:
    return AccessProblem("no AWS region; set AWS_REGION, or a region in the profile")
