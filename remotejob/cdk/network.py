"""The network of the workers: they reach AWS, and nothing reaches them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Annotations, Fn, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct, IDependable

from remotejob.cdk.functions import LOG_RETENTION
from remotejob.cdk.trust import of_flow_logs
from remotejob.settings.network import ZONES, NetworkSettings, Subnets

INTERFACES: Final = ("sqs", "ecr.api", "ecr.dkr", "logs")
"""Services that a worker calls from its own network, besides S3 and DynamoDB: its lanes, the
registry of its image, and its log. Fargate itself needs none.

Source: Amazon ECS Developer Guide, "Amazon ECS interface VPC endpoints (AWS PrivateLink)".
"""

_HTTPS: Final = ec2.Port.tcp(443)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerNetwork:
    """Where workers run."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    security_groups: tuple[ec2.ISecurityGroup, ...]
    public_ip: bool
    """Whether a worker has a public address, its way out of a public subnet."""
    ready: tuple[IDependable, ...] = ()
    """What must be there before a worker can start: its way to the registry and the queues."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkProps:
    """Options of `Network`."""

    settings: NetworkSettings
    production: bool
    interfaces: tuple[str, ...] = INTERFACES
    """The services that workers in private subnets without NAT reach."""
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """What happens to the flow log when the stack is destroyed."""


class Network(Construct):
    """A VPC, a security group that lets nothing in, and a flow log.

    Private subnets have interface endpoints, which cost by the hour, or a NAT gateway, which does
    so, too. Public subnets cost nothing while no worker runs: a worker has a public address but no
    open port. Most bytes go to S3 and DynamoDB, through gateway endpoints, which are free.
    """

    def __init__(self, scope: Construct, id: str, props: NetworkProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        settings = props.settings
        public_ip = settings.kind(production=props.production) is Subnets.PUBLIC
        isolated = settings.isolated(production=props.production)
        self.vpc = ec2.Vpc(
            self,
            # A VPC for each kind: subnets of another kind would have the addresses of the old ones,
            # which CloudFormation deletes last.
            "Vpc" if public_ip else "IsolatedVpc" if isolated else "NatVpc",
            ip_addresses=ec2.IpAddresses.cidr(settings.cidr),
            # In a stack with an account and a region, the CDK would write those that it looked up
            # there, or inventions where it cannot, such as in `remotejob local`.
            availability_zones=[Fn.select(zone, Fn.get_azs()) for zone in range(ZONES)],
            nat_gateways=0 if public_ip else settings.nat_gateways,
            subnet_configuration=_subnets(public_ip=public_ip, isolated=isolated),
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
        subnets = ec2.SubnetSelection(
            subnet_type=ec2.SubnetType.PUBLIC
            if public_ip
            else ec2.SubnetType.PRIVATE_ISOLATED
            if isolated
            else ec2.SubnetType.PRIVATE_WITH_EGRESS
        )
        wanted = (*(props.interfaces if isolated else ()), *settings.endpoints)
        endpoints = self._interfaces(wanted, subnets)
        chosen = self.vpc.select_subnets(subnet_type=subnets.subnet_type)
        self.workers = WorkerNetwork(
            vpc=self.vpc,
            subnets=subnets,
            security_groups=(self.security_group,),
            public_ip=public_ip,
            ready=(chosen.internet_connectivity_established, *endpoints),
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
                    assumed_by=of_flow_logs(self),
                ),
            ),
        )

    def _interfaces(
        self, services: Sequence[str], subnets: ec2.SubnetSelection
    ) -> list[ec2.InterfaceVpcEndpoint]:
        """Endpoints that take HTTPS from the workers alone."""
        if not services:
            return []
        group = ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self.vpc,
            description="Endpoints of AWS services: HTTPS from workers, nothing out",
            allow_all_outbound=False,
        )
        group.connections.allow_from(self.security_group, _HTTPS, "Workers")
        return [
            ec2.InterfaceVpcEndpoint(
                self,
                "".join(part.title() for part in re.split("[.-]", service)),
                vpc=self.vpc,
                service=ec2.InterfaceVpcEndpointAwsService(service),
                subnets=subnets,
                security_groups=[group],
                # its own rule would let in the whole VPC
                open=False,
            )
            for service in services
        ]


def _subnets(*, public_ip: bool, isolated: bool) -> list[ec2.SubnetConfiguration]:
    public = ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)
    if public_ip:
        return [public]
    kind = ec2.SubnetType.PRIVATE_ISOLATED if isolated else ec2.SubnetType.PRIVATE_WITH_EGRESS
    private = ec2.SubnetConfiguration(name="Private", subnet_type=kind)
    return [private] if isolated else [public, private]


def network_of(scope: Construct, settings: NetworkSettings) -> WorkerNetwork:
    """The subnets that the settings name, of a VPC that exists: nothing is looked up for it."""
    ids, public = settings.subnet_ids, settings.subnets is Subnets.PUBLIC
    vpc = ec2.Vpc.from_vpc_attributes(
        scope,
        "Vpc",
        vpc_id=settings.vpc_id or "",
        # Unknown here, and no template names them: the subnets say where they are.
        availability_zones=[f"zone of {one}" for one in ids],
    )
    subnets = [ec2.Subnet.from_subnet_attributes(scope, one, subnet_id=one) for one in ids]
    for subnet in subnets:
        # of use only to who adds routes
        Annotations.of(subnet).acknowledge_warning("@aws-cdk/aws-ec2:noSubnetRouteTableId")
    groups = [
        ec2.SecurityGroup.from_security_group_id(scope, one, one, mutable=False)
        for one in settings.security_group_ids
    ]
    return WorkerNetwork(
        vpc=vpc,
        subnets=ec2.SubnetSelection(subnets=subnets),
        security_groups=tuple(groups) or (_nothing_in(scope, "WorkerGroup", vpc),),
        public_ip=public,
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
        ready=(chosen.internet_connectivity_established,),
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
