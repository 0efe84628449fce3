"""Acknowledges findings of cdk-nag. Any other finding fails the synth."""

from __future__ import annotations

import re

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_s3 as s3
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, *, because: str) -> None:
    """Accept one finding of the AwsSolutions pack, on one construct."""
    Validations.of(construct).acknowledge(
        Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=because)
    )


def acknowledge_arn(construct: IConstruct, arn: str, *, because: str) -> None:
    """Accept a policy on an ARN with a wildcard of this stack."""
    parts = Stack.of(construct).resolve(arn)["Fn::Join"][1]
    name = "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
    acknowledge(construct, f"IAM5[Resource::{name}]", because=because)


def acknowledge_objects(
    construct: IConstruct, bucket: s3.IBucket, objects: str, *, because: str
) -> None:
    """Accept a policy on many objects of a bucket of another stack.

    The finding names the export through which the policy refers to the bucket, so a policy on
    another bucket, or on more objects of this one, is a new finding.
    """
    exported = Stack.of(bucket).export_value(bucket.bucket_arn)
    name = Stack.of(construct).resolve(exported)["Fn::ImportValue"]
    # so does the finding write `${*}`, an asterisk that stands for itself
    shown = re.sub(r"\$\{(.)\}", r"<\1>", objects)
    acknowledge(construct, f"IAM5[Resource::{name}/{shown}]", because=because)
