"""Connects to a system by its name, or by the environment of a worker or function."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from remotejob.backends.aws.account import Account
from remotejob.backends.aws.deployed_queues import DeployedQueues
from remotejob.backends.aws.files import S3Files
from remotejob.backends.aws.fleet import EcsFleet
from remotejob.backends.aws.messages import SqsMessages
from remotejob.backends.aws.parameters import read_queues, read_system, read_uploads
from remotejob.backends.aws.queue_urls import QueueUrls
from remotejob.backends.aws.service import DYNAMODB, SQS
from remotejob.backends.aws.store import DynamoStore
from remotejob.backends.aws.system_description import DescribedQueue, SystemDescription
from remotejob.backends.clock import SystemClock
from remotejob.domain.errors import SettingsError
from remotejob.domain.unreadable import SkippedItems
from remotejob.names import Env
from remotejob.ports import Area, Clock, Installation

if TYPE_CHECKING:
    import boto3


def connect(
    system: str, *, session: boto3.Session | None = None, clock: Clock | None = None
) -> Installation:
    """Connect to the system deployed under this name in the session's account and region.

    Elsewhere than in workers and functions, one request to SSM reads the system's description, and
    one for each ten queues theirs. A worker has those of itself in its environment, and reads the
    others when a task asks for one of them.

    Raises: SystemNotFound; AccessProblem, when AWS cannot be reached or refuses; SettingsError.
    """
    account = Account(session)
    described = os.environ.get(Env.SYSTEM)
    if described is not None:
        description = SystemDescription.from_json(described, origin=Env.SYSTEM)
        if description.name == system:
            read = partial(read_queues, system, account)
            return installation(description, account=account, clock=clock, read=read)
    description, read = read_system(system, account), partial(read_queues, system, account)
    return installation(description, account=account, clock=clock, read=read)


def from_environment(*, clock: Clock | None = None) -> Installation:
    """Connect to the system this worker or function belongs to.

    A worker knows its own queue alone. A function reads the queues' descriptions from SSM, and
    again when it meets one that it does not know.

    Raises: SettingsError, when the environment does not describe one; AccessProblem.
    """
    described = os.environ.get(Env.SYSTEM)
    if described is None:
        raise SettingsError(
            f"the environment variable {Env.SYSTEM} is not set; the stacks set it on workers and "
            "functions: start this from the deployed task definition, or with `remotejob local`"
        )
    description = SystemDescription.from_json(described, origin=Env.SYSTEM)
    account = Account()
    read = partial(read_queues, description.name, account) if description.queues is None else None
    return installation(description, account=account, clock=clock, read=read)


def installation(
    description: SystemDescription,
    *,
    account: Account,
    clock: Clock | None = None,
    read: Callable[[], Mapping[str, DescribedQueue]] | None = None,
) -> Installation:
    """The ports of a described system.

    read: its queues, for a description without any, and when a queue is asked for that is not
        known; None to look up nothing.
    """
    clock = clock or SystemClock()
    known = description.queues
    if known is None:
        known = {} if read is None else read()
    queues = DeployedQueues(known, clock=clock, read=read)
    urls = QueueUrls(queues.urls, read_uploads=partial(read_uploads, description.name, account))
    buckets = {Area.INPUT: description.input_bucket, Area.OUTPUT: description.output_bucket}
    dynamodb, skipped = account.service(DYNAMODB, clock=clock), SkippedItems()
    return Installation(
        name=description.name,
        store=DynamoStore(dynamodb, description.table, clock, skipped=skipped),
        messages=SqsMessages(account.service(SQS, clock=clock), urls, clock),
        files=S3Files(account.s3, buckets, direct=account.objects(buckets.values(), clock=clock)),
        clock=clock,
        entropy=os.urandom,
        queues=queues,
        lease=description.lease,
        skew=description.skew,
        retention=description.retention,
        readable_buckets=description.readable_buckets,
        max_depth=description.max_depth,
        clock_ahead=account.heard_time.clock_ahead(clock),
        fleet=EcsFleet(account, system=description.name, queues=queues, clock=clock),
        account=queues.account,
        region=account.region,
        skipped=skipped,
    )
