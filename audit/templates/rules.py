"""Rules of our own on templates, which no tool has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from audit.templates.findings import Found

Resource = Mapping[str, Any]

_SECRET_NAME: Final = re.compile(
    r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIALS?|PRIVATE_?KEY)$", re.IGNORECASE
)
_SECRET_VALUE: Final = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s:@]+@|gh[pousr]_[A-Za-z0-9]{36}"
)
_STATEFUL: Final = frozenset({"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue"})
_POLICIES: Final = frozenset({"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"})


def found_in(template: Mapping[str, Any], *, stage: str) -> Iterator[Found]:
    """What our rules find in a template."""
    for logical_id, resource in template.get("Resources", {}).items():
        kind = resource["Type"]
        for rule, said in _faults(kind, resource, stage=stage):
            yield Found(rule=rule, stage=stage, resource=f"{kind}.{logical_id}", said=said)


def _faults(kind: str, resource: Resource, *, stage: str) -> Iterator[tuple[str, str]]:
    properties = resource.get("Properties", {})
    if kind == "AWS::ECS::TaskDefinition":
        for container in properties["ContainerDefinitions"]:
            yield from _container_faults(container)
    if kind == "AWS::Lambda::Function":
        variables = properties.get("Environment", {}).get("Variables", {})
        yield from _variable_faults(variables.items())
        if "LogGroup" not in properties.get("LoggingConfig", {}):
            yield "OWN_LOGS", "the function has no log group of its own, whose logs would expire"
    if kind == "AWS::Logs::LogGroup" and "RetentionInDays" not in properties:
        yield "OWN_RETENTION", "its logs are kept, and paid for, for ever"
    if kind in _POLICIES:
        yield from _statement_faults(properties["PolicyDocument"])
    if kind == "AWS::IAM::Role":
        yield from _trust_faults(properties["AssumeRolePolicyDocument"])
    if kind in _STATEFUL and stage == "production":
        yield from _deletion_faults(resource)
    if kind == "AWS::EC2::SecurityGroup" and properties.get("SecurityGroupIngress"):
        yield "OWN_INGRESS", "something may open connections to it"


def _container_faults(container: Resource) -> Iterator[tuple[str, str]]:
    name = container["Name"]
    yield from _variable_faults(
        (variable["Name"], variable.get("Value")) for variable in container.get("Environment", ())
    )
    if str(container.get("User", "root")).partition(":")[0] in ("0", "root"):
        yield "OWN_ROOT", f"the container {name} runs as root, or as its image says"
    if container.get("ReadonlyRootFilesystem") is not True:
        yield "OWN_WRITABLE", f"the root file system of the container {name} can be written"
    if container.get("Privileged"):
        yield "OWN_PRIVILEGED", f"the container {name} is privileged"
    if "LogConfiguration" not in container:
        yield "OWN_LOGS", f"the container {name} logs nowhere"


def _variable_faults(variables: Any) -> Iterator[tuple[str, str]]:
    for name, value in variables:
        secret = isinstance(value, str) and _SECRET_VALUE.search(value)
        if secret or (_SECRET_NAME.search(name) and value):
            yield "OWN_SECRET", f"the variable {name} holds a secret for all who may read it"


def _statement_faults(document: Resource) -> Iterator[tuple[str, str]]:
    for statement in document["Statement"]:
        if statement["Effect"] != "Allow":
            continue
        if "NotAction" in statement or "NotResource" in statement:
            yield "OWN_NOT", "it allows all but what it names"
        for action in _listed(statement.get("Action", [])):
            if "*" in action:
                yield "OWN_ACTION", f"it allows {action}"
        if "*" in _listed(statement.get("Resource", [])) and "Condition" not in statement:
            yield "OWN_RESOURCE", f"it allows {statement['Action']} on everything"


def _trust_faults(document: Resource) -> Iterator[tuple[str, str]]:
    for statement in document["Statement"]:
        principal = statement.get("Principal", {})
        if principal == "*" or "*" in _listed(principal.get("AWS", [])):
            yield "OWN_TRUST", "everybody may assume it"


def _deletion_faults(resource: Resource) -> Iterator[tuple[str, str]]:
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        if resource.get(policy) not in ("Retain", "RetainExceptOnCreate"):
            yield "OWN_DELETED", f"in production, its {policy} is {resource.get(policy)}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
