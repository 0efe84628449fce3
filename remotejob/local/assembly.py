"""Read a cloud assembly: the folder that `cdk synth` writes.

Source: the CDK's Cloud Assembly Schema, `manifest.json` and `*.assets.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from remotejob.local.errors import InvalidAssembly

DEFAULT_ACCOUNT: Final = "123456789012"
DEFAULT_REGION: Final = "eu-west-1"
_STACK: Final = "aws:cloudformation:stack"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileAsset:
    """A file, or a folder to zip, that a template expects in a bucket."""

    id: str
    source: Path
    #: Whether to pack the folder into a zip archive.
    zipped: bool
    bucket: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StackArtifact:
    """One stack to deploy."""

    id: str
    name: str
    template: dict[str, Any]
    assets: tuple[FileAsset, ...]
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    #: Construct path in the app ("Stack/Unit/Function/Resource") by logical id.
    paths: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """The stacks of an assembly, each after its dependencies, with their account and region."""

    account: str
    region: str
    stacks: tuple[StackArtifact, ...]


def read(folder: Path) -> Assembly:
    """Read the assembly in a folder.

    Raises: InvalidAssembly, when it is not an assembly, or has several accounts or regions.
    """
    artifacts = dict(_artifacts(folder))
    found = {k: a for k, a in artifacts.items() if a[1]["type"] == _STACK}
    if not found:
        raise InvalidAssembly(f"{folder} has no stacks: synthesize the app into it first")
    places = {_environment(artifact) for _, artifact in found.values()}
    if len(places) > 1:
        raise InvalidAssembly(f"{folder} has stacks for several environments: {sorted(places)}")
    account, region = places.pop()
    ordered = _ordered(artifacts)
    stacks = tuple(_stack(k, *found[k], artifacts, account, region) for k in ordered if k in found)
    return Assembly(account=account, region=region, stacks=stacks)


def _artifacts(folder: Path) -> Iterator[tuple[str, tuple[Path, dict[str, Any]]]]:
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise InvalidAssembly(f"{folder} has no manifest.json: synthesize the app into it first")
    for artifact_id, artifact in json.loads(manifest.read_text()).get("artifacts", {}).items():
        if artifact["type"] == "cdk:cloud-assembly":
            yield from _artifacts(folder / artifact["properties"]["directoryName"])
        yield artifact_id, (folder, artifact)


def _environment(artifact: dict[str, Any]) -> tuple[str, str]:
    match = re.fullmatch(r"aws://([^/]+)/(.+)", artifact.get("environment", ""))
    account, region = match.groups() if match else ("", "")
    return (
        account if re.fullmatch(r"\d{12}", account) else DEFAULT_ACCOUNT,
        region if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region) else DEFAULT_REGION,
    )


def _ordered(artifacts: dict[str, tuple[Path, dict[str, Any]]]) -> list[str]:
    """Artifact ids, each after its dependencies."""
    ordered: list[str] = []

    def visit(artifact_id: str, path: tuple[str, ...]) -> None:
        if artifact_id in path:
            raise InvalidAssembly(f"circular dependencies: {' → '.join((*path, artifact_id))}")
        if artifact_id in ordered or artifact_id not in artifacts:
            return
        for needed in artifacts[artifact_id][1].get("dependencies", []):
            visit(needed, (*path, artifact_id))
        ordered.append(artifact_id)

    for artifact_id in artifacts:
        visit(artifact_id, ())
    return ordered


def _stack(
    artifact_id: str,
    folder: Path,
    artifact: dict[str, Any],
    artifacts: dict[str, tuple[Path, dict[str, Any]]],
    account: str,
    region: str,
) -> StackArtifact:
    properties = artifact["properties"]
    manifests = [
        artifacts[d]
        for d in artifact.get("dependencies", [])
        if d in artifacts and artifacts[d][1]["type"] == "cdk:asset-manifest"
    ]
    assets = [
        asset
        for where, manifest in manifests
        for asset in _assets(where, where / manifest["properties"]["file"], account, region)
    ]
    return StackArtifact(
        id=artifact_id,
        name=properties.get("stackName", artifact_id),
        template=json.loads((folder / properties["templateFile"]).read_text()),
        assets=tuple(assets),
        parameters=properties.get("parameters", {}),
        tags=properties.get("tags", {}),
        paths=_paths(folder, artifact),
    )


def _paths(folder: Path, artifact: dict[str, Any]) -> dict[str, str]:
    # Templates have the paths too, but only if the CDK command line synthesized them.
    metadata = dict(artifact.get("metadata", {}))
    if "additionalMetadataFile" in artifact:
        metadata |= json.loads((folder / artifact["additionalMetadataFile"]).read_text())
    return {
        entry["data"]: path.removeprefix("/")
        for path, entries in metadata.items()
        for entry in entries
        if entry["type"] == "aws:cdk:logicalId"
    }


def _assets(folder: Path, manifest: Path, account: str, region: str) -> Iterator[FileAsset]:
    def resolve(text: str) -> str:
        for name, value in (("AccountId", account), ("Region", region), ("Partition", "aws")):
            text = text.replace(f"${{AWS::{name}}}", value)
        return text

    # We skip image assets: their code runs from the source tree (see `workers`).
    for asset_id, asset in json.loads(manifest.read_text()).get("files", {}).items():
        if "path" not in asset["source"]:
            raise InvalidAssembly(f"{manifest}: asset {asset_id} has no source file or folder")
        for destination in asset["destinations"].values():
            yield FileAsset(
                id=asset_id,
                source=folder / asset["source"]["path"],
                zipped=asset["source"].get("packaging") == "zip",
                bucket=resolve(destination["bucketName"]),
                key=resolve(destination["objectKey"]),
            )
