"""What somebody's own CDK app brings along, in place of what a system makes for itself."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3


@dataclass(frozen=True, kw_only=True, slots=True)
class Existing:
    """None of these is changed; the system only uses them."""

    vpc: ec2.IVpc | None = None
    vpc_subnets: ec2.SubnetSelection | None = None
    security_groups: tuple[ec2.ISecurityGroup, ...] = ()
    cluster: ecs.ICluster | None = None
    input_bucket: s3.IBucket | None = None
    output_bucket: s3.IBucket | None = None
    encryption_key: kms.IKey | None = None


NOTHING = Existing()
