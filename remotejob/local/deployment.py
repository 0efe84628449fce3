"""Deploy a cloud assembly through AWS's own API.

Does what `cdk deploy` does, without the CDK tools: publish the file assets, create the stacks in
order, and wait.
"""

from __future__ import annotations

import json
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from remotejob.local.assembly import Assembly, FileAsset, StackArtifact
from remotejob.local.errors import DeploymentFailed, UnknownResource

ClientFactory = Callable[[str], Any]
#: Set by the CDK's bootstrap stack; templates check it.
_BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_VERSION: Final = "30"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A resource of a deployed stack."""

    stack: str
    type: str
    logical_id: str
    physical_id: str
    #: Construct path in the app ("Stack/Unit/Function/Resource"); "" if the assembly has none.
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """The deployed resources and outputs, with their account and region."""

    account: str
    region: str
    resources: tuple[Resource, ...]
    #: Outputs by stack name and key.
    outputs: dict[str, dict[str, str]]

    def all(self, kind: str) -> list[Resource]:
        """Every resource of a type, such as "AWS::SQS::Queue"."""
        return [r for r in self.resources if r.type == kind]

    def one(self, kind: str, name: str | None = None) -> Resource:
        """The one resource of a type that matches a name.

        The name is a physical id, a logical id, or part of the construct's path ("OnUpload" or
        "Uploads/OnUpload"); case does not matter. Raises: UnknownResource, when no resource or
        several match.
        """
        candidates = self.all(kind)
        tests: tuple[Callable[[Resource], bool], ...] = (
            lambda r: name in (None, r.physical_id, r.logical_id),
            lambda r: f"/{_normalise(name)}/" in f"/{_normalise(r.path)}/",
            lambda r: _normalise(r.logical_id).startswith(_normalise(name)),
        )
        for test in tests:
            found = [r for r in candidates if test(r)]
            if len(found) == 1:
                return found[0]
        known = ", ".join(sorted(r.path.removesuffix("/Resource") for r in candidates)) or "none"
        raise UnknownResource(f"{name!r} does not match exactly one {kind}; deployed: {known}")


def _normalise(name: str | None) -> str:
    return (name or "").lower().replace("_", "").replace("-", "")


def deploy(assembly: Assembly, *, client: ClientFactory, cache: Path) -> Deployment:
    """Create every stack of an assembly.

    `cache` keeps zipped assets, which makes another deployment of the same code fast.
    Raises: DeploymentFailed, which names the stack and its failed events.
    """
    _bootstrap(assembly, client)
    _publish(assembly, client, cache)
    cloudformation = client("cloudformation")
    resources: list[Resource] = []
    outputs: dict[str, dict[str, str]] = {}
    for stack in assembly.stacks:
        outputs[stack.name] = _create(cloudformation, stack)
        resources += _resources(cloudformation, stack)
    return Deployment(
        account=assembly.account,
        region=assembly.region,
        resources=tuple(resources),
        outputs=outputs,
    )


def _bootstrap(assembly: Assembly, client: ClientFactory) -> None:
    names = {_BOOTSTRAP_PARAMETER} | {
        parameter["Default"]
        for stack in assembly.stacks
        for key, parameter in stack.template.get("Parameters", {}).items()
        if key == "BootstrapVersion" and "Default" in parameter
    }
    for name in names:
        client("ssm").put_parameter(
            Name=name, Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True
        )


def _publish(assembly: Assembly, client: ClientFactory, cache: Path) -> None:
    s3 = client("s3")
    # Templates are assets too, but only the CDK's own tools need them.
    templates = ".template.json"
    assets = {
        (a.bucket, a.key): a
        for stack in assembly.stacks
        for a in stack.assets
        if not a.source.name.endswith(templates) or a.source.name.endswith(f".nested{templates}")
    }
    for bucket in {bucket for bucket, _ in assets}:
        location: Any = {"LocationConstraint": assembly.region}
        if assembly.region == "us-east-1":
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
    for (bucket, key), asset in assets.items():
        s3.put_object(Bucket=bucket, Key=key, Body=packed(asset, cache).read_bytes())


def packed(asset: FileAsset, cache: Path) -> Path:
    """The file to upload: the asset itself, or a zip archive of its folder."""
    if not asset.zipped:
        return asset.source
    archive = cache / f"{asset.id}.zip"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / f".{asset.id}.{uuid.uuid4().hex[:8]}"
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as packed:
            for path in sorted(asset.source.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(asset.source))
        partial.chmod(0o600)
        partial.replace(archive)
    return archive


def _create(cloudformation: Any, stack: StackArtifact) -> dict[str, str]:
    parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in stack.parameters.items()]
    try:
        cloudformation.create_stack(
            StackName=stack.name,
            TemplateBody=json.dumps(stack.template),
            Parameters=parameters,
            Tags=[{"Key": key, "Value": value} for key, value in stack.tags.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
    except ClientError as error:
        reason = _failures(cloudformation, stack.name) or error.response["Error"]["Message"]
        raise DeploymentFailed(f"stack {stack.name} was not created: {reason}") from error
    waiter = cloudformation.get_waiter("stack_create_complete")
    try:
        waiter.wait(StackName=stack.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    except Exception as error:
        reason = _failures(cloudformation, stack.name) or str(error)
        raise DeploymentFailed(f"stack {stack.name} was not created: {reason}") from error
    described = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}


def _failures(cloudformation: Any, name: str) -> str:
    try:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    except ClientError:
        return ""  # the stack was refused before it had any events
    return "; ".join(
        f"{e['LogicalResourceId']}: {e['ResourceStatusReason']}"
        for e in events
        if "FAILED" in e["ResourceStatus"] and e.get("ResourceStatusReason")
    )


def _resources(cloudformation: Any, stack: StackArtifact) -> list[Resource]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack.name)
    return [
        Resource(
            stack=stack.name,
            type=summary["ResourceType"],
            logical_id=summary["LogicalResourceId"],
            physical_id=summary["PhysicalResourceId"],
            path=stack.paths.get(summary["LogicalResourceId"], ""),
        )
        for page in pages
        for summary in page["StackResourceSummaries"]
        # moto also lists resources it skipped, without a type.
        if summary.get("ResourceType", "").strip()
    ]
