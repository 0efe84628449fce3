"""Acknowledges findings of cdk-nag. Any other finding fails the synth."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import Acknowledgment, Stack, Token, Validations
from aws_cdk import aws_s3 as s3
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, *, because: str) -> None:
    """Accept one finding of the AwsSolutions pack, on one construct."""
    Validations.of(construct).acknowledge(
        Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=because)
    )


def acknowledge_arn(construct: IConstruct, arn: str, *, because: str) -> None:
    """Accept a policy on an ARN with a wildcard."""
    name = _shown(Stack.of(construct).resolve(arn))
    acknowledge(construct, f"IAM5[Resource::{name}]", because=because)


def acknowledge_objects(
    construct: IConstruct, bucket: s3.IBucket, objects: str, *, because: str
) -> None:
    """Accept a policy on many objects of a bucket, of this stack, another one or none.

    The finding names how the policy refers to the bucket, so a policy on another bucket, or on more
    objects of this one, is a new finding.
    """
    arn = seen_from(construct, bucket, bucket.bucket_arn)
    name = _shown(Stack.of(construct).resolve(arn))
    acknowledge(construct, f"IAM5[Resource::{name}/{_shown(objects)}]", because=because)


def seen_from(construct: IConstruct, owner: IConstruct, value: str) -> str:
    """A value of another construct as a finding on this one names it: by the export, if the other
    one is of another stack of the app."""
    imported = owner.node.default_child is None
    if imported or Stack.of(owner) == Stack.of(construct) or not Token.is_unresolved(value):
        return value
    return Stack.of(owner).export_value(value)


def _shown(value: Any) -> str:
    """How cdk-nag writes a text of a template in a finding.

    Source: cdk-nag, src/utils/flatten-cfn-reference.ts.
    """
    match value:
        case str():
            return value.replace("${", "<").replace("}", ">")
        case {"Fn::Join": [str(between), [*parts]]}:
            return between.join(map(_shown, parts))
        case {"Fn::Sub": of} | {"Fn::ImportValue": of}:
            return _shown(of)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{_shown(resource)}.{_shown(attribute)}>"
        case {"Ref": name}:
            return f"<{_shown(name)}>"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
