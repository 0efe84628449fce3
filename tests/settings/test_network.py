"""[network]: where the workers run, and what could only fail once it is deployed."""

from __future__ import annotations

import tomllib

import pytest

from remotejob import SettingsError
from remotejob.settings import NetworkSettings, Settings, Subnets, parse
from remotejob.settings.document import as_toml

QUEUE = '[queues.default]\ntasks = ["work"]\n'
VPC = 'vpc_id = "vpc-0123456789abcdef0"\n'
IN_A_VPC = VPC + 'subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]\n'


def parsed(network: str, *, stage: str = "development", queue: str = "") -> Settings:
    text = f'[system]\nstage = "{stage}"\n{QUEUE}{queue}[network]\n{network}'
    return parse(tomllib.loads(text))


def refusal(network: str, *, stage: str = "development", queue: str = "") -> str:
    with pytest.raises(SettingsError) as refused:
        parsed(network, stage=stage, queue=queue)
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("network", "stage", "kind"),
    [
        ("", "development", Subnets.PUBLIC),
        ("", "production", Subnets.PRIVATE),
        ('subnets = "public"', "production", Subnets.PUBLIC),
        ('subnets = "private"', "development", Subnets.PRIVATE),
        ("nat_gateways = 1", "development", Subnets.PRIVATE),
        ('endpoints = ["textract"]', "development", Subnets.PRIVATE),
        (IN_A_VPC, "development", Subnets.PRIVATE),
        (IN_A_VPC + 'subnets = "public"', "production", Subnets.PUBLIC),
    ],
)
def test_a_worker_has_a_public_address_in_development_or_by_choice(
    network: str, stage: str, kind: Subnets
) -> None:
    read = parsed(network, stage=stage).network

    assert read.kind(production=stage == "production") is kind


def test_a_file_without_a_network_has_the_default() -> None:
    assert parse(tomllib.loads(QUEUE)).network == NetworkSettings()


@pytest.mark.parametrize("network", [IN_A_VPC, 'cidr = "10.9.0.0/20"\nnat_gateways = 2\n'])
def test_changed_settings_are_written_as_they_were_read(network: str) -> None:
    read = parsed(network)

    assert parse(tomllib.loads(as_toml(read))) == read


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ('vpc_id = "my-vpc"', "vpc_id = 'my-vpc': give its id"),
        (VPC, "subnet_ids is missing; name the subnets of vpc-0123456789abcdef0"),
        (VPC + "subnet_ids = []", "name 1 to 16"),
        (VPC + 'subnet_ids = ["subnet-1"]', "such as 'subnet-0123456789abcdef0'"),
        (IN_A_VPC + 'security_group_ids = ["default"]', "such as 'sg-0123456789abcdef0'"),
        (IN_A_VPC + 'cidr = "10.9.0.0/16"', "cidr = '10.9.0.0/16': it is of a new VPC"),
        (IN_A_VPC + "nat_gateways = 1", "nat_gateways = 1: it is of a new VPC"),
        ('subnet_ids = ["subnet-0123456789abcdef0"]', "name their VPC, too"),
        ('cidr = "10.9.0.1/16"', "has host bits set; give a range such as"),
        ('cidr = "8.8.0.0/16"', "give a private range of IPv4"),
        ('cidr = "fd00::/16"', "give a private range of IPv4"),
        ('cidr = "10.0.0.0/8"', "has /16 to /24"),
        ('cidr = "10.0.0.0/25"', "has /16 to /24"),
        ("nat_gateways = 3", "between 0 and 2"),
        ('subnets = "isolated"', "use one of private, public"),
        ('subnets = "public"\nnat_gateways = 1', "nat_gateways = 1: workers in public subnets"),
        ('endpoints = ["sqs"]', "the network has this one"),
        ('endpoints = ["com.amazonaws.eu-west-1.textract"]', "such as 'bedrock-runtime'"),
        ('endpoints = ["textract", "textract"]', "each once"),
        ("zones = 3", "unknown key 'zones'"),
    ],
)
def test_what_cannot_be_deployed_is_refused(network: str, said: str) -> None:
    message = refusal(network)

    assert message.startswith("[network]")
    assert said in message


@pytest.mark.parametrize(
    ("network", "most"),
    [('cidr = "10.0.0.0/24"', 123), ('cidr = "10.0.0.0/24"\nnat_gateways = 1', 59)],
)
def test_a_range_has_an_address_for_every_worker_and_its_successor(network: str, most: int) -> None:
    parsed(network, queue=f"max_workers = {most}\n")

    message = refusal(network, queue=f"max_workers = {most + 1}\n")

    assert f"addresses for {2 * most} workers, and the queues may have {2 * most + 2}" in message


def test_an_image_that_workers_could_not_pull_is_refused() -> None:
    elsewhere = 'image = "ghcr.io/ours/ocr:1"\n'
    ours = 'image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ocr:1"\n'

    message = refusal("", stage="production", queue=elsewhere)

    assert "[queues.default]: image = 'ghcr.io/ours/ocr:1'" in message
    assert "nat_gateways = 1" in message
    for network in ("nat_gateways = 1", 'subnets = "public"', IN_A_VPC):
        parsed(network, stage="production", queue=elsewhere)
    parsed("", stage="production", queue=ours)
