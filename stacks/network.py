"""The network of the workers: they reach AWS, and nothing reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.functions import LOG_RETENTION

ZONES: Final = 2


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
        # All outbound traffic: the author of a task decides what it connects to.
        self.security_group = ec2.SecurityGroup(
            self,
            "Workers",
            vpc=self.vpc,
            description="Workers: nothing in, anything out",
            allow_all_outbound=True,
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
