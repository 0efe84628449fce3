"""What a deployment is about to do, read from the cloud assembly that the CDK synthesized."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from remotejob.domain.errors import SettingsError
from remotejob.settings import Stage

_STACK: Final = "aws:cloudformation:stack"
_NESTED: Final = "cdk:cloud-assembly"
_ASSETS: Final = "cdk:asset-manifest"
_PARAMETER: Final = re.compile(r"/remotejob/([^/]+)")
_PLACE: Final = re.compile(r"aws://([^/]+)/(.+)")
_UNKNOWN: Final = "unknown-"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStack:
    """One stack to deploy."""

    name: str
    template: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    region: str | None = None
    """None: wherever it is deployed."""
    bootstrap_version: int | None = None
    """The least version of the bootstrap stack; None if it needs none."""
    bootstrap_parameter: str | None = None

    def resources(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The properties of its resources of a type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.template.get("Resources", {}).items()
            if resource["Type"] == kind
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All stacks of an app, in a stage."""

    folder: Path
    """The cloud assembly."""
    stage: Stage
    stacks: tuple[PlannedStack, ...]
    builds_images: bool
    """Whether it needs Docker."""

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of the systems, by the parameters that describe them."""
        return tuple(
            sorted(
                match[1]
                for stack in self.stacks
                for properties in stack.resources("AWS::SSM::Parameter").values()
                if isinstance(name := properties.get("Name"), str)
                and (match := _PARAMETER.fullmatch(name))
            )
        )

    @property
    def region(self) -> str | None:
        """The region that the stacks name; None if they name none."""
        return self._one("region")

    @property
    def account(self) -> str | None:
        return self._one("account")

    def _one(self, what: str) -> str | None:
        found = {getattr(stack, what) for stack in self.stacks} - {None}
        if len(found) > 1:
            raise SettingsError(
                f"the app has stacks in several places, {what} {', '.join(sorted(found))}: deploy"
                " each with `remotejob cdk deploy STACK`"
            )
        return found.pop() if found else None


def read_plan(folder: Path, stage: Stage) -> Plan:
    """Read an assembly.

    Raises: SettingsError, when there is none, or it has no stack.
    Source: the CDK's Cloud Assembly Schema, `manifest.json`.
    """
    artifacts = list(_artifacts(folder))
    stacks = tuple(_stack(where, one) for where, one in artifacts if one["type"] == _STACK)
    if not stacks:
        raise SettingsError(f"the app in {Path.cwd()} has no stacks; add a RemoteJobSystem to it")
    images = any(
        json.loads((where / one["properties"]["file"]).read_text()).get("dockerImages")
        for where, one in artifacts
        if one["type"] == _ASSETS
    )
    return Plan(folder=folder, stage=stage, stacks=stacks, builds_images=images)


def _artifacts(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, artifact in manifest.get("artifacts", {}).items():
        if artifact["type"] == _NESTED:
            yield from _artifacts(folder / artifact["properties"]["directoryName"])
        yield folder, {"id": name, **artifact}


def _stack(folder: Path, artifact: dict[str, Any]) -> PlannedStack:
    properties = artifact["properties"]
    place = _PLACE.fullmatch(artifact.get("environment", ""))
    account, region = place.groups() if place else (_UNKNOWN, _UNKNOWN)
    return PlannedStack(
        name=properties.get("stackName", artifact["id"]),
        template=json.loads((folder / properties["templateFile"]).read_text()),
        tags=properties.get("tags", {}),
        account=None if account.startswith(_UNKNOWN) else account,
        region=None if region.startswith(_UNKNOWN) else region,
        bootstrap_version=properties.get("requiresBootstrapStackVersion"),
        bootstrap_parameter=properties.get("bootstrapStackVersionSsmParameter"),
    )
