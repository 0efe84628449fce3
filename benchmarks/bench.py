"""The test bench: one embedded AWS, and the users and programs that send requests to it.

The embedded AWS is a separate process, whose CPU counts for no system. Each system has two users in
it, one that submits and one that works, so the server can tell their requests apart.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import boto3

from benchmarks.guardian import Guardian
from benchmarks.processes import ROOT, Program, kill
from remotejob import RemoteJob
from remotejob.cli.local.synthesis import synthesize
from remotejob.domain.usage import item_bytes
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Task, Worker, tasks
from remotejob.names import Env

BUILD = ROOT / "build" / "bench"
PEERS_PYTHON = BUILD / "venv" / "bin" / "python"
_ANYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)

LONGEST_POLL_S = 20
"""How long a poll waits for a message. Source: Amazon SQS Developer Guide, "long polling"."""

Requests = Counter[tuple[str, str]]
"""Request counts by service and operation."""

RECEIVE = ("sqs", "ReceiveMessage")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """The requests of one user: those that jobs caused, and the others.

    How many others there are depends on how long the run took, and not on its jobs.
    """

    requests: Requests
    """What the jobs caused."""
    idle_polls: int = 0
    """Receives that brought no message. A poll that is still open has brought none yet."""
    signs_of_life: int = 0
    """What a worker writes about itself, once a minute."""


def split(
    requests: Requests, *, receives_with_messages: int, sign_of_life: tuple[str, str] | None = None
) -> Counted:
    """Tell what the jobs caused from the rest; `sign_of_life` is the request that makes one."""
    caused = Counter(requests)
    caused[RECEIVE] = receives_with_messages
    signs = 0 if sign_of_life is None else caused.pop(sign_of_life, 0)
    return Counted(
        requests=+caused,
        idle_polls=max(0, requests[RECEIVE] - receives_with_messages),
        signs_of_life=signs,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OurQueue:
    """A queue of our deployed system, with its workers' ECS service."""

    service: str
    task: Task


class Bench:
    """The embedded AWS with our system deployed in it, and the programs that use it."""

    def __enter__(self) -> Self:
        assembly = synthesize(Path("benchmarks/remotejob.toml"), BUILD / "cdk.out")
        self._guardian = Guardian()
        self.aws = EmbeddedAws.for_assembly(assembly, cache=BUILD / "assets")
        try:
            self.aws.__enter__()
            self.aws.deploy(assembly)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._keys: dict[str, dict[str, str]] = {}
        services = self.aws.deployment.all("AWS::ECS::Service")
        described = tasks(self.aws.deployment, self.aws.client)
        self._ours = {
            task.environment[Env.QUEUE]: OurQueue(service=service.physical_id, task=task)
            for service, task in zip(services, described, strict=True)
        }
        self._free_at = dict.fromkeys(self._ours, 0.0)
        self._names = iter(range(1, sys.maxsize))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.aws.stop()
        self._guardian.close()

    def fresh(self, what: str) -> str:
        """A name that nothing else has had."""
        return f"{what}-{next(self._names)}"

    def queue(self, name: str, *, visibility_s: int) -> str:
        """Create a queue; return its URL."""
        sqs = self.aws.client("sqs")
        attributes = {"VisibilityTimeout": str(visibility_s)}
        url: str = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def table(self, name: str) -> str:
        """Create a table with one key, `id`; return its name."""
        self.aws.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        return name

    def bucket(self, name: str) -> str:
        """Create a bucket; return its name."""
        self.aws.client("s3").create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.aws.region}
        )
        return name

    def environment(self, user: str) -> dict[str, str]:
        """Variables that let a process use the embedded AWS as this user, who may do anything."""
        if user not in self._keys:
            iam = self.aws.client("iam")
            iam.create_user(UserName=user)
            iam.put_user_policy(UserName=user, PolicyName="anything", PolicyDocument=_ANYTHING)
            key = iam.create_access_key(UserName=user)["AccessKey"]
            self._keys[user] = {
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            }
        return {**self.aws.environment(), **self._keys[user], "PYTHONUNBUFFERED": "1"}

    @contextmanager
    def program(
        self, command: Sequence[str], *, environment: Mapping[str, str], piped: bool = False
    ) -> Iterator[Program]:
        """Run a program until the block ends."""
        log = BUILD / "logs" / f"{self.fresh('program')}.log"
        program = Program(command, environment=environment, log=log, piped=piped)
        self._guardian.watch(program.session)
        try:
            yield program
        finally:
            program.kill()
            self._guardian.forget(program.session)

    def our_queue(self) -> OurQueue:
        """Take one of our queues; waits until no poll on it is left."""
        queue = min(self._free_at, key=lambda name: self._free_at[name])
        time.sleep(max(0, self._free_at[queue] - time.monotonic()))
        self._free_at[queue] = float("inf")
        return self._ours[queue]

    def release(self, queue: str) -> None:
        """Return one of our queues, to be used again once its worker's polls have ended."""
        self._free_at[queue] = time.monotonic() + LONGEST_POLL_S + 1

    @contextmanager
    def our_worker(self, queue: OurQueue, environment: Mapping[str, str]) -> Iterator[Worker]:
        """Run the deployed worker, a child of the embedded AWS, until the block ends."""
        worker = self.aws.start_worker(queue.service, environment=environment)
        try:
            yield worker
        finally:
            kill(worker.pid)
            worker.wait()

    def requests(self, user: str) -> Requests:
        """Requests since the reset from a user, or from a role with `user` in its name."""
        counted: Requests = Counter()
        for (service, operation, who), count in self.aws.requests().items():
            if user.lower() in who.lower():
                counted[service, operation] += count
        return counted

    def counted(self, user: str, *, sign_of_life: tuple[str, str] | None = None) -> Counted:
        """The same requests, as `split` tells them apart."""
        answered = self.aws.receives_with_messages()
        with_messages = sum(n for who, n in answered.items() if user.lower() in who.lower())
        return split(
            self.requests(user), receives_with_messages=with_messages, sign_of_life=sign_of_life
        )

    def units(self, user: str) -> dict[str, float]:
        """DynamoDB's units since the reset, by kind, for a user or role as in `requests`."""
        counted: Counter[str] = Counter()
        for (kind, who), units in self.aws.units().items():
            if user.lower() in who.lower():
                counted[kind] += units  # type: ignore[assignment]
        return dict(counted)

    def record_bytes(self) -> int:
        """The size of the largest of our newest records, as DynamoDB computes it."""
        with _exported(self.aws.environment()):
            system = RemoteJob.connect("bench", session=boto3.Session())
            jobs = [job for queue in self._ours for job in system.queue(queue).jobs(limit=20)]
        return max(item_bytes(job.record.to_item()) for job in jobs)

    def reset(self) -> None:
        """Reset the counts to zero."""
        self.aws.reset_requests()


@contextmanager
def _exported(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process; restore them at the end."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
