"""The workers' network: what is made, what it lets through, and a VPC that exists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2

from remotejob.cdk import RemoteJobApp, RemoteJobSystem
from remotejob.domain.errors import SettingsError
from remotejob.local.embedded import EmbeddedAws
from tests.deployed import ASSETS
from tests.stacks import own_apps
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import System

IDS = ("subnet-0123456789abcdef0", "subnet-0123456789abcdef1")
SHARED = f'[network]\nvpc_id = "vpc-0123456789abcdef0"\nsubnet_ids = {list(IDS)}\n'


def placed(system: System) -> dict[str, Any]:
    """The network of the services, which is the same for all."""
    found = [
        service.properties["NetworkConfiguration"]["AwsvpcConfiguration"]
        for service in system.resources("AWS::ECS::Service")
    ]
    assert found
    assert all(one == found[0] for one in found)
    one: dict[str, Any] = found[0]
    return one


def endpoints(system: System, kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the endpoints of a kind, by the end of their name."""
    return {
        json.dumps(one.properties["ServiceName"]).rpartition("amazonaws.")[2].strip('"]}'): (
            one.properties
        )
        for one in system.resources("AWS::EC2::VPCEndpoint")
        if one.properties["VpcEndpointType"] == kind
    }


def names(found: dict[str, Any]) -> set[str]:
    return {name.rpartition(", ")[2].strip('". ').removeprefix(".") for name in found}


def test_production_workers_have_no_public_address_and_no_way_out(production: System) -> None:
    assert placed(production)["AssignPublicIp"] == "DISABLED"
    assert not production.resources("AWS::EC2::InternetGateway")
    assert not production.resources("AWS::EC2::NatGateway")
    assert not [
        one
        for one in production.resources("AWS::EC2::Route")
        if one.properties.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]


def test_production_workers_reach_what_they_call_through_endpoints(production: System) -> None:
    assert names(endpoints(production, "Interface")) == {"sqs", "ecr.api", "ecr.dkr", "logs"}
    assert len(endpoints(production, "Gateway")) == 2
    for one in endpoints(production, "Interface").values():
        assert len(one["SubnetIds"]) == 2
        assert one["PrivateDnsEnabled"] is True


def test_only_workers_may_call_the_endpoints(production: System) -> None:
    ingress = production.resource("AWS::EC2::SecurityGroupIngress").properties

    assert (ingress["FromPort"], ingress["ToPort"], ingress["IpProtocol"]) == (443, 443, "tcp")
    assert "NetworkWorkers" in json.dumps(ingress["SourceSecurityGroupId"])
    groups = production.resources("AWS::EC2::SecurityGroup")
    assert not [group for group in groups if "SecurityGroupIngress" in group.properties]


def test_a_first_worker_waits_for_the_way_to_its_image(production: System) -> None:
    made = {one.id for one in production.resources("AWS::EC2::VPCEndpoint")}
    interfaces = {
        one.id
        for one in production.resources("AWS::EC2::VPCEndpoint")
        if one.properties["VpcEndpointType"] == "Interface"
    }

    for service in production.resources("AWS::ECS::Service"):
        assert interfaces <= set(service.body["DependsOn"]) & made


def test_public_addresses_in_production_must_be_chosen(synthesize: Synthesize) -> None:
    system = synthesize(stage="production", more='[network]\nsubnets = "public"')

    assert placed(system)["AssignPublicIp"] == "ENABLED"
    assert not endpoints(system, "Interface")


def test_a_nat_gateway_takes_the_place_of_the_endpoints(synthesize: Synthesize) -> None:
    system = synthesize(more="[network]\nnat_gateways = 1\nendpoints = ['bedrock-runtime']")

    assert placed(system)["AssignPublicIp"] == "DISABLED"
    assert len(system.resources("AWS::EC2::NatGateway")) == 1
    assert names(endpoints(system, "Interface")) == {"bedrock-runtime"}


@pytest.mark.exhaustive
def test_the_addresses_are_those_of_the_settings(synthesize: Synthesize) -> None:
    system = synthesize(more='[network]\ncidr = "10.77.0.0/20"')

    assert system.resource("AWS::EC2::VPC").properties["CidrBlock"] == "10.77.0.0/20"


def test_secrets_are_read_through_endpoints_of_their_services(synthesize: Synthesize) -> None:
    system = synthesize(
        stage="production",
        more='[queues.other]\ntasks = ["x"]\n[queues.other.secrets]\n'
        'A = { parameter = "/a" }\nB = { secret = "b" }',
    )

    assert {"ssm", "secretsmanager"} < names(endpoints(system, "Interface"))


@pytest.mark.exhaustive
def test_a_shared_vpc_gets_services_and_one_security_group(synthesize: Synthesize) -> None:
    system = synthesize(more=SHARED)

    assert placed(system)["Subnets"] == list(IDS)
    assert placed(system)["AssignPublicIp"] == "DISABLED"
    (group,) = system.resources("AWS::EC2::SecurityGroup")
    assert group.properties["VpcId"] == "vpc-0123456789abcdef0"
    made = {one.type for one in system.resources() if one.type.startswith("AWS::EC2::")}
    assert made == {"AWS::EC2::SecurityGroup"}


def test_nothing_is_looked_up_or_warned_of_for_a_shared_vpc(synthesize: Synthesize) -> None:
    system = synthesize(more=SHARED)
    manifest = json.loads((system.folder / "manifest.json").read_text())

    assert not manifest.get("missing")
    assert "noSubnetRouteTableId" not in json.dumps(manifest)
    assert "zone of" not in json.dumps(system.template("workers"))


@pytest.mark.exhaustive
def test_security_groups_of_a_shared_vpc_are_used_as_they_are(synthesize: Synthesize) -> None:
    system = synthesize(more=SHARED + 'security_group_ids = ["sg-0123456789abcdef0"]')

    assert placed(system)["SecurityGroups"] == ["sg-0123456789abcdef0"]
    assert not system.resources("AWS::EC2::SecurityGroup")


def test_app_and_settings_cannot_both_name_a_network(tmp_path: Path) -> None:
    app = RemoteJobApp(own_apps.PROJECT, outdir=tmp_path)
    settings = tmp_path / "remotejob.toml"
    settings.write_text((own_apps.PROJECT / "remotejob.toml").read_text() + SHARED)
    stack = cdk.Stack(app, "all")
    vpc = ec2.Vpc(stack, "Vpc")

    with pytest.raises(SettingsError, match=r"\[network\]: the app gives the construct"):
        RemoteJobSystem(stack, "One", settings=settings, worker=own_apps.IMAGE, vpc=vpc)


def test_a_change_of_kind_makes_a_new_vpc_as_addresses_would_conflict(
    system: System, production: System, synthesize: Synthesize
) -> None:
    nat = synthesize(more="[network]\nnat_gateways = 1\nendpoints = ['bedrock-runtime']")

    ids = {one.resource("AWS::EC2::VPC").id for one in (system, production, nat)}

    assert len(ids) == 3


@pytest.mark.parametrize(
    "more", ["", pytest.param("[network]\nnat_gateways = 1", marks=pytest.mark.exhaustive)]
)
def test_the_embedded_aws_deploys_the_production_template(
    synthesize: Synthesize, more: str
) -> None:
    folder = synthesize(stage="production", more=more).folder
    with EmbeddedAws.for_assembly(folder, cache=ASSETS) as aws:
        deployed = aws.deploy(folder)
        kinds = {
            one["VpcEndpointType"]
            for one in aws.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
        }

    assert len(deployed.all("AWS::EC2::VPCEndpoint")) == (6 if not more else 2)
    assert kinds == ({"Interface", "Gateway"} if not more else {"Gateway"})
