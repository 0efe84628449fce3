"""The place where everything is measured: one embedded AWS, and who asks it.

The embedded AWS is a process of its own; what it spends is nobody's. Each system has two users of
its own there, one that submits and one that works, so that requests are told apart where they
arrive.
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
from remotejob.cli.local import synthesize
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

_LONGEST_POLL_S = 20

Requests = Counter[tuple[str, str]]
"""By service and operation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OurQueue:
    """A queue of our deployed system, with the service whose workers serve it."""

    service: str
    task: Task


class Bench:
    """The embedded AWS with our system deployed in it, and all that is started beside it."""

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
        self._rested = dict.fromkeys(self._ours, 0.0)
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
        """A name nothing has had."""
        return f"{what}-{next(self._names)}"

    def queue(self, name: str, *, visibility_s: int) -> str:
        """The URL of a new queue."""
        sqs = self.aws.client("sqs")
        attributes = {"VisibilityTimeout": str(visibility_s)}
        url: str = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def table(self, name: str) -> str:
        """A new table with one key, `id`."""
        self.aws.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        return name

    def bucket(self, name: str) -> str:
        """A new bucket."""
        self.aws.client("s3").create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.aws.region}
        )
        return name

    def environment(self, user: str) -> dict[str, str]:
        """What a process needs to ask the embedded AWS as that user, who may do anything."""
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
        """A program for as long as the block lasts."""
        log = BUILD / "logs" / f"{self.fresh('program')}.log"
        program = Program(command, environment=environment, log=log, piped=piped)
        self._guardian.watch(program.session)
        try:
            yield program
        finally:
            program.kill()
            self._guardian.forget(program.session)

    def our_queue(self) -> OurQueue:
        """One of our queues that nobody polls any more."""
        queue = min(self._rested, key=lambda name: self._rested[name])
        time.sleep(max(0, self._rested[queue] - time.monotonic()))
        self._rested[queue] = float("inf")
        return self._ours[queue]

    def rest(self, queue: str) -> None:
        """Let one of our queues be used again, once the polls of its worker have ended."""
        self._rested[queue] = time.monotonic() + _LONGEST_POLL_S + 1

    @contextmanager
    def our_worker(self, queue: OurQueue, environment: Mapping[str, str]) -> Iterator[Worker]:
        """The deployed worker for as long as the block lasts; the embedded AWS's own child."""
        worker = self.aws.start_worker(queue.service, environment=environment)
        try:
            yield worker
        finally:
            kill(worker.pid)
            worker.wait()

    def requests(self, user: str) -> Requests:
        """What has arrived from a user, or from a role with that in its name, since the reset."""
        counted: Requests = Counter()
        for (service, operation, who), count in self.aws.requests().items():
            if user.lower() in who.lower():
                counted[service, operation] += count
        return counted

    def units(self, user: str) -> dict[str, float]:
        """DynamoDB's units that a user, or such a role, has used since the reset, by kind."""
        counted: Counter[str] = Counter()
        for (kind, who), units in self.aws.units().items():
            if user.lower() in who.lower():
                counted[kind] += units  # type: ignore[assignment]
        return dict(counted)

    def record_bytes(self) -> int:
        """The size of the largest of our newest records, as DynamoDB counts it."""
        with _exported(self.aws.environment()):
            system = RemoteJob.connect("bench", session=boto3.Session())
            jobs = [job for queue in self._ours for job in system.queue(queue).jobs(limit=20)]
        return max(item_bytes(job.record.to_item()) for job in jobs)

    def reset(self) -> None:
        """Count from nothing."""
        self.aws.reset_requests()


@contextmanager
def _exported(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables of this process, as they were again at the end."""
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
