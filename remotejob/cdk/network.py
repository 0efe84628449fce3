"""The network of the workers: they reach AWS, and nothing reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from remotejob.cdk.functions import LOG_RETENTION

ZONES: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerNetwork:
    """Where workers run."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    security_groups: tuple[ec2.ISecurityGroup, ...]
    public_ip: bool
    """Whether a worker has a public address, its way out of a public subnet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkProps:
    """Options of `Network`."""

    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """What happens to the flow log when the stack is destroyed."""


class Network(Construct):
    """A VPC of public subnets, a security group that lets nothing in, and a flow log.

    Public subnets, because the alternatives cost by the hour even while no worker runs: a NAT
    gateway, or interface endpoints for SQS, ECR and the log. A worker has a public address but no
    open port. Most bytes go to S3 and DynamoDB, through gateway endpoints, which are free.
    """

    def __init__(self, scope: Construct, id: str, props: NetworkProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=ZONES,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)
            ],
            # Restricting the default group needs a custom resource, and we don't use the group.
            restrict_default_security_group=False,
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(
                    service=ec2.GatewayVpcEndpointAwsService.DYNAMODB
                ),
            },
        )
        self.security_group = _nothing_in(self, "Workers", self.vpc)
        self.workers = WorkerNetwork(
            vpc=self.vpc,
            subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            security_groups=(self.security_group,),
            public_ip=True,
        )
        log_group = logs.LogGroup(
            self, "Log", retention=LOG_RETENTION, removal_policy=props.removal_policy
        )
        self.vpc.add_flow_log(
            "Flow",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(
                log_group,
                iam.Role(
                    self,
                    "FlowRole",
                    assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com"),
                ),
            ),
        )


def network_in(
    scope: Construct,
    vpc: ec2.IVpc,
    *,
    subnets: ec2.SubnetSelection | None,
    security_groups: Sequence[ec2.ISecurityGroup],
) -> WorkerNetwork:
    """A place in a VPC that exists.

    subnets: default those with a route out through a NAT gateway, or else the public ones, or else
    the isolated ones, which need endpoints for S3, DynamoDB, SQS, ECR and CloudWatch Logs.
    security_groups: default a new one that lets nothing in and anything out.
    """
    if subnets is None:
        subnets = ec2.SubnetSelection(subnet_type=_subnet_type(vpc))
    public = {subnet.subnet_id for subnet in vpc.public_subnets}
    chosen = vpc.select_subnets(
        availability_zones=subnets.availability_zones,
        one_per_az=subnets.one_per_az,
        subnet_filters=subnets.subnet_filters,
        subnet_group_name=subnets.subnet_group_name,
        subnets=subnets.subnets,
        subnet_type=subnets.subnet_type,
    )
    return WorkerNetwork(
        vpc=vpc,
        # themselves: their names would be looked up in the cluster's VPC, which may be another
        subnets=ec2.SubnetSelection(subnets=chosen.subnets),
        security_groups=tuple(security_groups) or (_nothing_in(scope, "WorkerGroup", vpc),),
        public_ip=bool(public & set(chosen.subnet_ids)),
    )


def _subnet_type(vpc: ec2.IVpc) -> ec2.SubnetType:
    if vpc.private_subnets:
        return ec2.SubnetType.PRIVATE_WITH_EGRESS
    return ec2.SubnetType.PUBLIC if vpc.public_subnets else ec2.SubnetType.PRIVATE_ISOLATED


def _nothing_in(scope: Construct, id: str, vpc: ec2.IVpc) -> ec2.SecurityGroup:  # noqa: A002
    """All outbound traffic, because the author of a task decides what it connects to."""
    return ec2.SecurityGroup(
        scope,
        id,
        vpc=vpc,
        description="Workers: nothing in, anything out",
        allow_all_outbound=True,
    )
