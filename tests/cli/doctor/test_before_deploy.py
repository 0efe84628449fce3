"""The preflight, on an account as moto has it; where moto has nothing, on AWS's written answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan, PlannedStack
from remotejob.cli.doctor.before_deploy import (
    account,
    bootstrap,
    preflight,
    quotas,
    roles,
    stacks,
    tools,
)
from remotejob.cli.doctor.before_deploy.account import Identity
from remotejob.cli.doctor.findings import Finding, Severity
from remotejob.settings import Stage

REGION = "eu-west-1"
ACCOUNT = "123456789012"
IDENTITY = Identity(
    account=ACCOUNT, region=REGION, arn=f"arn:aws:iam::{ACCOUNT}:user/x", partition="aws"
)
NAME = "remotejob-scans-storage"
EMPTY = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


@pytest.fixture(scope="module")
def clients() -> Clients:
    """Made once, because each takes a tenth of a second."""
    return Clients(
        boto3.Session(
            aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION
        )
    )


@pytest.fixture
def client(clients: Clients) -> Iterator[Clients]:
    """Those of an empty account."""
    with mock_aws():
        yield clients


def plan(
    *resources: tuple[str, dict[str, Any]],
    stage: Stage = Stage.PRODUCTION,
    builds_images: bool = False,
    **stack: Any,
) -> Plan:
    template = {
        "Resources": {
            f"R{number}": {"Type": kind, "Properties": properties}
            for number, (kind, properties) in enumerate(resources)
        }
    }
    options = {"name": NAME, "tags": {"remotejob": "scans"}, "template": template, **stack}
    return Plan(
        folder=Path(),
        stage=stage,
        stacks=(PlannedStack(**options),),
        builds_images=builds_images,
    )


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def make_stack(client: Clients, **tags: str) -> None:
    client("cloudformation").create_stack(
        StackName=NAME,
        TemplateBody=EMPTY,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )


def stack(status: str, *, protected: bool) -> dict[str, Any]:
    """Our stack, as CloudFormation describes it."""
    return {
        "StackName": NAME,
        "StackStatus": status,
        "CreationTime": "2026-01-01T00:00:00Z",
        "EnableTerminationProtection": protected,
        "Tags": [{"Key": "remotejob", "Value": "scans"}],
    }


def answering(
    client: Clients, service: str, *answers: tuple[str, dict[str, Any]]
) -> Iterator[Stubber]:
    """Let a service give these answers, in order, which are checked against its model."""
    stubber = Stubber(client(service))
    for operation, answer in answers:
        stubber.add_response(operation, answer)
    with stubber:
        yield stubber


# --- the account --------------------------------------------------------------------------------


def test_no_region_is_an_error_that_names_the_variable() -> None:
    found = account.identify(plan(), Clients(boto3.Session()))
    assert isinstance(found, Finding)
    assert "AWS_REGION" in found.remedy


def test_no_credentials_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    found = account.identify(plan(), Clients(boto3.Session(region_name=REGION)))

    assert isinstance(found, Finding)
    assert (found.place, found.severity) == ("credentials", Severity.ERROR)


def test_who_we_are_is_what_aws_says(client: Clients) -> None:
    found = account.identify(plan(), client)
    assert isinstance(found, Identity)
    assert (found.account, found.region, found.partition) == (ACCOUNT, REGION, "aws")


def test_credentials_of_another_account_than_the_apps_are_an_error() -> None:
    found = only(account.check(plan(account="999999999999"), IDENTITY))
    assert "999999999999" in found.what
    assert ACCOUNT in found.what
    assert not list(account.check(plan(account=ACCOUNT), IDENTITY))


# --- this machine -------------------------------------------------------------------------------


def program(folder: Path, script: str) -> str:
    file = folder / "engine"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_docker_that_does_not_answer_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    engine = program(tmp_path, "echo Cannot connect to the Docker daemon >&2; exit 1")
    found = only(tools.docker(plan(builds_images=True), {"CDK_DOCKER": engine}))
    assert "Cannot connect to the Docker daemon" in found.what


def test_docker_that_is_missing_is_an_error_and_one_that_answers_is_not(tmp_path: Path) -> None:
    gone = {"CDK_DOCKER": str(tmp_path / "gone")}
    assert "cannot be started" in only(tools.docker(plan(builds_images=True), gone)).what
    assert not list(tools.docker(plan(builds_images=False), gone))
    there = {"CDK_DOCKER": program(tmp_path, "exit 0")}
    assert not list(tools.docker(plan(builds_images=True), there))


# --- bootstrap and roles ------------------------------------------------------------------------


def test_an_account_that_is_not_bootstrapped_is_an_error_with_the_command(client: Clients) -> None:
    found = only(bootstrap.version(plan(bootstrap_version=6), client, IDENTITY))
    assert f"cdk bootstrap aws://{ACCOUNT}/{REGION}" in found.remedy
    assert not list(bootstrap.version(plan(), client, IDENTITY)), "it needs none"


@pytest.mark.parametrize(("version", "errors"), [(5, 1), (6, 0), (30, 0)])
def test_a_bootstrap_stack_must_be_new_enough(client: Clients, version: int, errors: int) -> None:
    parameter = "/cdk-bootstrap/mine/version"
    client("ssm").put_parameter(Name=parameter, Value=str(version), Type="String")
    needs = plan(bootstrap_version=6, bootstrap_parameter=parameter)
    assert len(list(bootstrap.version(needs, client, IDENTITY))) == errors


@pytest.mark.parametrize(("policy", "warnings"), [("AdministratorAccess", 1), ("Scoped", 0)])
def test_deploying_as_an_administrator_is_a_warning(
    client: Clients, policy: str, warnings: int
) -> None:
    attached = [{"PolicyName": policy, "PolicyArn": f"arn:aws:iam::aws:policy/{policy}"}]
    answer = ("list_attached_role_policies", {"AttachedPolicies": attached})
    for _ in answering(client, "iam", answer):
        found = list(bootstrap.policies(plan(), client, IDENTITY))
    assert [one.severity for one in found] == [Severity.WARNING] * warnings


def test_an_account_without_the_bootstraps_role_has_no_such_warning(client: Clients) -> None:
    assert not list(bootstrap.policies(plan(), client, IDENTITY))


def test_ecs_must_have_its_role_if_there_is_a_cluster(client: Clients) -> None:
    clusters = plan(("AWS::ECS::Cluster", {}))
    assert "create-service-linked-role" in only(roles.check(clusters, client)).remedy
    assert not list(roles.check(plan(), client))
    client("iam").create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
    assert not list(roles.check(clusters, client))


# --- stacks and parameters ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "said"),
    [({}, "is not remotejob's"), ({"remotejob": "other"}, "belongs to system 'other'")],
)
def test_a_stack_of_somebody_elses_is_an_error(
    client: Clients, tags: dict[str, str], said: str
) -> None:
    make_stack(client, **tags)
    assert said in only(stacks.check_stacks(plan(), client)).what


def test_our_own_stack_is_updated_and_a_new_one_made(client: Clients) -> None:
    assert not list(stacks.check_stacks(plan(), client))
    make_stack(client, remotejob="scans")
    assert not list(stacks.check_stacks(plan(), client))


@pytest.mark.parametrize(("stage", "errors"), [(Stage.DEVELOPMENT, 1), (Stage.PRODUCTION, 0)])
def test_development_does_not_replace_production(
    client: Clients, stage: Stage, errors: int
) -> None:
    answer = ("describe_stacks", {"Stacks": [stack("UPDATE_COMPLETE", protected=True)]})
    for _ in answering(client, "cloudformation", answer):
        found = list(stacks.check_stacks(plan(stage=stage), client))
    assert ["takes away what protects its data" in one.what for one in found] == [True] * errors


@pytest.mark.parametrize(
    ("status", "protected", "said"),
    [
        ("UPDATE_ROLLBACK_FAILED", False, "continue-update-rollback"),
        ("DELETE_FAILED", False, "delete-stack"),
        ("UPDATE_IN_PROGRESS", False, "wait:"),
        ("ROLLBACK_COMPLETE", True, "--no-enable-termination-protection"),
        ("ROLLBACK_COMPLETE", False, None),
        ("UPDATE_ROLLBACK_COMPLETE", True, None),
    ],
)
def test_a_stack_in_a_state_that_no_deployment_starts_from_says_what_to_do(
    client: Clients,
    status: str,
    protected: bool,  # noqa: FBT001
    said: str | None,
) -> None:
    answer = ("describe_stacks", {"Stacks": [stack(status, protected=protected)]})
    for _ in answering(client, "cloudformation", answer):
        found = list(stacks.check_stacks(plan(), client))
    assert [said in one.remedy for one in found if said] == [True] * (said is not None)
    assert len(found) == (said is not None)


def test_a_parameter_of_another_app_is_an_error(client: Clients) -> None:
    ours = plan(("AWS::SSM::Parameter", {"Name": "/remotejob/scans"}))
    assert ours.systems == ("scans",)
    assert not list(stacks.check_parameters(ours, client))
    client("ssm").put_parameter(Name="/remotejob/scans", Value="{}", Type="String")
    assert (
        "another app has a system named 'scans'" in only(stacks.check_parameters(ours, client)).what
    )
    make_stack(client, remotejob="scans")
    assert not list(stacks.check_parameters(ours, client))


# --- quotas -------------------------------------------------------------------------------------


def test_a_vpc_too_many_is_an_error_with_the_quota(client: Clients) -> None:
    network = plan(("AWS::EC2::VPC", {}))
    assert not list(quotas.vpcs(network, client))
    # with the default one, these are as many as the quota allows
    for number in range(4):
        client("ec2").create_vpc(CidrBlock=f"10.{number}.0.0/16")

    found = only(quotas.vpcs(network, client))

    assert "L-F678F1CE" in found.remedy
    assert not list(quotas.vpcs(plan(), client)), "it makes none"
    make_stack(client, remotejob="scans")
    assert not list(quotas.vpcs(network, client)), "its VPC is there already"


def vcpus(value: float) -> tuple[str, dict[str, Any]]:
    return "get_service_quota", {"Quota": {"Value": value}}


@pytest.mark.parametrize(
    ("quota", "severity"),
    [(1.0, Severity.ERROR), (5.0, Severity.WARNING), (6.0, None)],
)
def test_one_worker_of_each_queue_must_fit_in_fargates_quota(
    client: Clients, quota: float, severity: Severity | None
) -> None:
    sizes = [("AWS::ECS::TaskDefinition", {"Cpu": cpu}) for cpu in ("2048", "4096")]
    for _ in answering(client, "service-quotas", vcpus(quota)):
        found = list(quotas.fargate(plan(*sizes), client))
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_spots_quota_counts_where_workers_run_on_spot(client: Clients) -> None:
    spot = {"CapacityProviderStrategy": [{"CapacityProvider": "FARGATE_SPOT"}]}
    workers = plan(("AWS::ECS::TaskDefinition", {"Cpu": "2048"}), ("AWS::ECS::Service", spot))
    for _ in answering(client, "service-quotas", vcpus(100), vcpus(1)):
        assert "Spot" in only(quotas.fargate(workers, client)).place


@pytest.mark.parametrize(("free", "warnings"), [(10, 1), (900, 0)])
def test_a_new_accounts_functions_are_few_at_a_time(
    client: Clients, free: int, warnings: int
) -> None:
    answer = ("get_account_settings", {"AccountLimit": {"UnreservedConcurrentExecutions": free}})
    for _ in answering(client, "lambda", answer):
        found = list(quotas.functions(plan(("AWS::Lambda::Function", {})), client))
    assert [one.severity for one in found] == [Severity.WARNING] * warnings


# --- all together -------------------------------------------------------------------------------


def test_all_checks_run_and_a_fresh_account_is_told_what_to_do(client: Clients) -> None:
    fresh = plan(("AWS::ECS::Cluster", {}), ("AWS::EC2::VPC", {}), bootstrap_version=6)

    found, identity = preflight(fresh, client, {})

    assert identity is not None
    assert [one.place for one in found] == [
        "/cdk-bootstrap/hnb659fds/version",
        "AWSServiceRoleForECS",
    ]


def test_without_a_region_only_this_machine_is_looked_at(tmp_path: Path) -> None:
    gone = {"CDK_DOCKER": str(tmp_path / "gone")}
    found, identity = preflight(plan(builds_images=True), Clients(boto3.Session()), gone)
    assert identity is None
    assert [one.place for one in found] == ["Docker", "region"]
