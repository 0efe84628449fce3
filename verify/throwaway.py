"""A system that exists for one verification: made, tried, paid for, and removed in any case."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from remotejob import Job, RemoteJob
from remotejob.names import STAGE_CONTEXT, Part, stack_name
from remotejob.settings import Stage
from verify.scenarios import ALL, Target

SETTINGS: Final = """\
[system]
name = "{name}"
stage = "development"

[queues.default]
tasks = ["thumbnail"]
tasks_module = "worker_container.tasks"
cpu = 256
memory_mib = 1024
max_workers = 1

[[routes]]
prefix = "photos/"
task = "thumbnail"
data = {{ size = 64 }}
"""
_PATIENCE_S: Final = 900.0
_AT_A_TIME: Final = 1000
"""Source: Amazon S3 API Reference, DeleteObjects."""

Scenario = Callable[[Target], None]


@dataclass(kw_only=True)
class Verification:
    """One run, and what came of it."""

    folder: Path
    """For the settings file."""
    client: Callable[[str], Any]
    command: Callable[[Sequence[str]], int]
    """Runs `remotejob` with these arguments, and returns its exit code."""
    connect: Callable[[str], RemoteJob]
    say: Callable[[str], object]
    scenarios: Sequence[Scenario] = ALL
    patience_s: float = _PATIENCE_S
    sleep: Callable[[float], object] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    name: str = field(default_factory=lambda: f"verify-{secrets.token_hex(4)}")
    failures: list[str] = field(default_factory=list)
    _jobs: list[Job] = field(default_factory=list)

    def run(self) -> bool:
        """Deploy, try and remove. Whether all of it went well."""
        settings = self.folder / f"{self.name}.toml"
        self.folder.mkdir(parents=True, exist_ok=True)
        settings.write_text(SETTINGS.format(name=self.name))
        began = self.monotonic()
        try:
            self._deploy_and_try(settings)
        except BaseException as problem:
            self.failures.append(f"{type(problem).__name__}: {problem}")
            if not isinstance(problem, Exception):
                raise
        finally:
            self._remove(settings)
            self.say(f"took {(self.monotonic() - began) / 60:.1f} minutes")
            settings.unlink()
        return not self.failures

    def _deploy_and_try(self, settings: Path) -> None:
        self.say(f"deploying the throw-away system {self.name}")
        arguments = ("deploy", Stage.DEVELOPMENT.value, "--yes", "--settings", str(settings))
        if code := self.command(arguments):
            self.failures.append(f"remotejob deploy ended with {code}")
            return
        target = Target(
            system=self.connect(self.name),
            s3=self.client("s3"),
            patience_s=self.patience_s,
            sleep=self.sleep,
            jobs=self._jobs,
        )
        for scenario in self.scenarios:
            self._try(scenario, target)
        self._bill()

    def _try(self, scenario: Scenario, target: Target) -> None:
        named = scenario.__name__.replace("_", " ")
        began = self.monotonic()
        try:
            scenario(target)
        except Exception as problem:  # noqa: BLE001 (the others are tried, too)
            self.failures.append(f"{named}: {problem}")
            self.say(f"failed: {named}: {problem}")
        else:
            self.say(f"passed: {named} ({self.monotonic() - began:.0f} s)")

    def _bill(self) -> None:
        for job in self._jobs:
            job.refresh()
        dollars = sum(job.receipt().dollars for job in self._jobs)
        self.say(
            f"bill: {len(self._jobs)} jobs took about ${dollars:.6f} by their receipts; what"
            " `remotejob deploy` said of an hour idle comes on top, and idle workers until they end"
        )

    def _remove(self, settings: Path) -> None:
        """Empty the buckets, destroy the stacks, and look whether anything is left."""
        self.say("removing everything")
        try:
            for bucket in self._buckets():
                empty(self.client("s3"), bucket)
            code = self.command(
                (
                    *("cdk", "destroy", "--all", "--force"),
                    *("--context", f"{STAGE_CONTEXT}={Stage.DEVELOPMENT}"),
                    *("--context", f"settings={settings.resolve()}"),
                )
            )
            if code:
                self.failures.append(f"remotejob cdk destroy ended with {code}")
            left = self._left()
        except Exception as problem:  # noqa: BLE001 (what is left must be said)
            self.failures.append(f"removal: {problem}")
            left = [stack_name(self.name, part) for part in Part]
        if left:
            self.failures.append(f"left: {', '.join(left)}")
            self.say(
                f"NOT REMOVED, and may cost by the hour: stacks {', '.join(left)}; empty their"
                " buckets and delete them in CloudFormation's console"
            )
        else:
            self.say("nothing is left")

    def _stacks(self) -> list[str]:
        ours = {stack_name(self.name, part) for part in Part}
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
        found = {stack["StackName"] for page in pages for stack in page["Stacks"]}
        return sorted(ours & found)

    def _left(self) -> list[str]:
        return self._stacks()

    def _buckets(self) -> list[str]:
        cloudformation = self.client("cloudformation")
        return [
            resource["PhysicalResourceId"]
            for stack in self._stacks()
            for page in cloudformation.get_paginator("list_stack_resources").paginate(
                StackName=stack
            )
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == "AWS::S3::Bucket" and resource.get("PhysicalResourceId")
        ]


def empty(s3: Any, bucket: str) -> None:
    """Delete every version of every object of a bucket."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        for at in range(0, len(keys), _AT_A_TIME):
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys[at : at + _AT_A_TIME]})
