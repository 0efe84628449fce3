"""The synthesized templates as plain data: found by type and by what stands in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remotejob.names import Part

ASSET_HASH = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One resource of a template."""

    id: str
    type: str
    body: dict[str, Any]

    @property
    def properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = self.body.get("Properties", {})
        return properties


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """The cloud assembly of one system."""

    folder: Path
    name: str

    def template(self, part: str) -> dict[str, Any]:
        file = self.folder / f"remotejob-{self.name}-{part}.template.json"
        template: dict[str, Any] = json.loads(file.read_text())
        return template

    def scrubbed(self, part: str) -> dict[str, Any]:
        """The template without what changes with every line of code."""
        template = self.template(part)
        for output in [name for name in template.get("Outputs", {}) if name.startswith("Exports")]:
            del template["Outputs"][output]
        scrubbed: dict[str, Any] = json.loads(ASSET_HASH.sub("<asset>", json.dumps(template)))
        return scrubbed

    def artifact(self, part: str) -> dict[str, Any]:
        manifest = json.loads((self.folder / "manifest.json").read_text())
        artifact: dict[str, Any] = manifest["artifacts"][f"remotejob-{self.name}-{part}"]
        return artifact

    def resources(self, kind: str | None = None) -> list[Resource]:
        """All resources of a type, of all three stacks."""
        return [
            Resource(id=name, type=body["Type"], body=body)
            for part in ("storage", "functions", "workers")
            for name, body in self.template(part)["Resources"].items()
            if kind in (None, body["Type"])
        ]

    def resources_of(self, part: Part, kind: str) -> list[Resource]:
        """The resources of a type in one stack."""
        there = self.template(part)["Resources"]
        return [one for one in self.resources(kind) if one.id in there]

    def resource(self, kind: str, /, **expected: Any) -> Resource:
        """The one resource of a type that has these properties."""
        found = [r for r in self.resources(kind) if r.properties.items() >= expected.items()]
        assert len(found) == 1, f"{len(found)} of {kind} with {expected}"
        return found[0]

    def statements(self, role: str) -> list[dict[str, Any]]:
        """What the role with that logical id may do, its own policies only."""
        return [
            statement
            for policy in self.resources("AWS::IAM::Policy")
            if {"Ref": role} in policy.properties["Roles"]
            for statement in policy.properties["PolicyDocument"]["Statement"]
        ]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def texts(value: Any) -> Iterator[str]:
    """Every piece of text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def description(value: Any, *, of: System) -> dict[str, Any]:
    """A description as it will read, with each reference written `<logical id>`.

    A reference to another stack reads as the export does: it ends with what is referred to. What a
    template takes from a parameter of another stack of the system is read there.
    """
    parts = value["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else _read(part, of) for part in parts)
    described: dict[str, Any] = json.loads(text)
    return described


def _read(reference: dict[str, Any], system: System) -> str:
    taken = system.template("workers").get("Parameters", {}).get(reference.get("Ref", ""))
    if taken is None:
        return f"<{_target(reference)}>"
    assert taken["Type"] == "AWS::SSM::Parameter::Value<String>"
    parameter = system.resource("AWS::SSM::Parameter", Name=taken["Default"])
    return json.dumps(description(parameter.properties["Value"], of=system))


def _target(reference: dict[str, Any]) -> str:
    return ".".join(str(text) for text in texts(reference))


def queue_named(value: Any, *, of: System) -> str:
    """The logical id of the SQS queue whose name the functions' stack reads so."""

    def read(value: Any) -> Any:
        match value:
            case {"Fn::Select": [int(index), items]}:
                return read(items)[index]
            case {"Fn::Split": [str(between), text]}:
                return read(text).split(between)
            case {"Ref": name}:
                parameter = of.template(Part.FUNCTIONS)["Parameters"][name]["Default"]
                found = of.resource("AWS::SSM::Parameter", Name=parameter)
                return "".join(
                    part if isinstance(part, str) else f"https://sqs/123456789012/{part['Ref']}"
                    for part in found.properties["Value"]["Fn::Join"][1]
                )
            case {"Fn::GetAtt": [name, "QueueName"]}:
                return name
        raise AssertionError(value)

    name: str = read(value)
    return name
