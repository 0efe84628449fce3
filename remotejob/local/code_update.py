"""Give deployed functions new code, without an update of their stacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from remotejob.local.assembly import Assembly, StackArtifact
from remotejob.local.deployment import ClientFactory, Deployment, packed

_ASSET: Final = re.compile(r"\b[0-9a-f]{64}\b")
_FUNCTION: Final = "AWS::Lambda::Function"


def differ_in_code_alone(before: Assembly, after: Assembly) -> bool:
    """Whether two assemblies have the same templates, but for the hashes of their assets.

    Images have such a hash, too, but no image runs here: workers run from the source tree.
    """
    return _without_assets(before) == _without_assets(after)


def update_code(
    before: Assembly, after: Assembly, *, deployed: Deployment, client: ClientFactory, cache: Path
) -> int:
    """Upload the code that differs and let its functions use it; return how many do."""
    known = dict(_code(before))
    changed = {name: key for name, key in _code(after) if known.get(name) != key}
    assets = {asset.key: asset for stack in after.stacks for asset in stack.assets}
    for key in set(changed.values()):
        body = packed(assets[key], cache).read_bytes()
        client("s3").put_object(Bucket=assets[key].bucket, Key=key, Body=body)
    for (stack, logical_id), key in changed.items():
        (function,) = (
            resource
            for resource in deployed.all(_FUNCTION)
            if (resource.stack, resource.logical_id) == (stack, logical_id)
        )
        client("lambda").update_function_code(
            FunctionName=function.physical_id, S3Bucket=assets[key].bucket, S3Key=key
        )
    return len(changed)


def _code(assembly: Assembly) -> Iterator[tuple[tuple[str, str], str]]:
    """Stack and logical id of each function, and the key of its code."""
    for stack in assembly.stacks:
        for logical_id, resource in _resources(stack).items():
            if resource.get("Type") == _FUNCTION and "S3Key" in resource["Properties"]["Code"]:
                yield (stack.name, logical_id), resource["Properties"]["Code"]["S3Key"]


def _resources(stack: StackArtifact) -> dict[str, Any]:
    resources: dict[str, Any] = stack.template.get("Resources", {})
    return resources


def _without_assets(assembly: Assembly) -> dict[str, Any]:
    return {
        stack.name: (
            json.loads(_ASSET.sub("", json.dumps(stack.template))),
            dict(stack.parameters),
        )
        for stack in assembly.stacks
    }
