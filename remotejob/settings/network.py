"""Where a system's workers run: a network of its own, or subnets of a VPC that exists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, ip_network
from typing import Final

from remotejob.domain.argument_checks import check_choice
from remotejob.domain.errors import SettingsError
from remotejob.settings.machines import ecr_repository
from remotejob.settings.queues import QueueSettings
from remotejob.settings.table import Table

ZONES: Final = 2
"""Availability zones of a new network."""

DEFAULT_CIDR: Final = "10.0.0.0/16"

_VPC: Final = re.compile(r"vpc-[0-9a-f]{8,17}")
_SUBNET: Final = re.compile(r"subnet-[0-9a-f]{8,17}")
_GROUP: Final = re.compile(r"sg-[0-9a-f]{8,17}")
_ENDPOINT: Final = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)*")
_MOST_GROUPS: Final = 5
_MOST_SUBNETS: Final = 16
"""Source: Amazon ECS API Reference, AwsVpcConfiguration, securityGroups and subnets."""
_MOST_ENDPOINTS: Final = 40
"""Source: Amazon VPC User Guide, "Amazon VPC quotas": 50 interface endpoints a VPC."""
_SHORTEST_PREFIX: Final = 16
_LONGEST_PREFIX: Final = 24
"""Source: Amazon VPC User Guide, "VPC CIDR blocks": /16 to /28; a /24 leaves each subnet, of up to
four, room for some workers."""
_RESERVED: Final = 5
"""Addresses of a subnet that AWS keeps. Source: Amazon VPC User Guide, "Subnet CIDR blocks"."""
_WHILE_DEPLOYING: Final = 2
"""A deployment may start as many workers again as there are, before it stops the old ones."""
_AWS_OWN: Final = frozenset({"s3", "dynamodb", "sqs", "ecr.api", "ecr.dkr", "logs"})
"""Endpoints that the workers need, so the network has them already."""


class Subnets(StrEnum):
    """Whether workers have a public address."""

    PRIVATE = "private"
    PUBLIC = "public"


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSettings:
    """The network of the workers."""

    subnets: Subnets | None = None
    """Public ones give each worker a public address, and nothing comes in. None: private ones in
    production, in a VPC that exists, and with NAT gateways or endpoints; public ones otherwise,
    which cost nothing while no worker runs."""
    vpc_id: str | None = None
    """A VPC that exists, which several systems may share; None for a new one."""
    subnet_ids: tuple[str, ...] = ()
    """The subnets of that VPC, 1 to 16."""
    security_group_ids: tuple[str, ...] = ()
    """Security groups of that VPC, at most 5; empty for a new one that lets nothing in."""
    cidr: str = DEFAULT_CIDR
    """Addresses of a new VPC, /16 to /24."""
    nat_gateways: int = 0
    """NAT gateways of a new VPC with private subnets, 0 to 2: the workers' way into the internet.
    With 0 they reach AWS through interface endpoints, and nothing else."""
    endpoints: tuple[str, ...] = ()
    """Further AWS services that workers reach through interface endpoints of a new VPC, such as
    "bedrock-runtime"."""

    def __post_init__(self) -> None:
        if self.subnets is not None:
            subnets = check_choice("subnets=", self.subnets, Subnets, error=SettingsError)
            object.__setattr__(self, "subnets", subnets)

    def kind(self, *, production: bool) -> Subnets:
        """The subnets, with the default of the stage."""
        if self.subnets is not None:
            return self.subnets
        private = production or self.vpc_id or self.nat_gateways or self.endpoints
        return Subnets.PRIVATE if private else Subnets.PUBLIC

    def isolated(self, *, production: bool) -> bool:
        """Whether workers reach AWS services alone."""
        private = self.kind(production=production) is Subnets.PRIVATE
        return private and self.vpc_id is None and not self.nat_gateways


def read_network(table: Table) -> NetworkSettings:
    """The network from its table. Raises: SettingsError."""
    kind: str = table.choice("subnets", [*Subnets], default="private")
    found = NetworkSettings(
        subnets=Subnets(kind) if table.has("subnets") else None,
        vpc_id=_id(table, "vpc_id", _VPC),
        subnet_ids=_ids(table, "subnet_ids", _SUBNET, most=_MOST_SUBNETS),
        security_group_ids=_ids(table, "security_group_ids", _GROUP, most=_MOST_GROUPS),
        cidr=_cidr(table),
        nat_gateways=table.whole("nat_gateways", 0, ZONES, default=0),
        endpoints=_endpoints(table),
    )
    if found.vpc_id is None:
        _check_new(table, found)
    else:
        _check_existing(table, found)
    return found


def check_network(
    network: NetworkSettings, queues: Mapping[str, QueueSettings], *, production: bool
) -> None:
    """Refuse queues whose workers could not start in a new network. Raises: SettingsError."""
    if network.vpc_id is not None:
        return
    _check_room(network, queues)
    if not network.isolated(production=production):
        return
    for name, queue in queues.items():
        if queue.image is not None and ecr_repository(queue.image) is None:
            raise SettingsError(
                f"[queues.{name}]: image = {queue.image!r}: workers in private subnets without a"
                " NAT gateway cannot pull from this registry; copy the image to ECR, or set"
                " nat_gateways = 1 under [network]"
            )


def _check_room(network: NetworkSettings, queues: Mapping[str, QueueSettings]) -> None:
    wanted = _WHILE_DEPLOYING * sum(queue.max_workers for queue in queues.values())
    # a NAT gateway is in a public subnet of its zone
    kinds = 2 if network.nat_gateways else 1
    room = ZONES * (ip_network(network.cidr).num_addresses // (ZONES * kinds) - _RESERVED)
    if wanted > room:
        raise SettingsError(
            f"[network]: cidr = {network.cidr!r}: its subnets have addresses for {room:,} workers,"
            f" and the queues may have {wanted:,} while they are deployed; give a larger range, "
            "such as one with /16, or lower max_workers"
        )


def _check_new(table: Table, found: NetworkSettings) -> None:
    for key, ids in (
        ("subnet_ids", found.subnet_ids),
        ("security_group_ids", found.security_group_ids),
    ):
        if ids:
            table.fail(key, list(ids), "name their VPC, too, with vpc_id; or leave it out")
    if found.subnets is Subnets.PUBLIC:
        for key, value in (("nat_gateways", found.nat_gateways), ("endpoints", found.endpoints)):
            if value:
                table.fail(
                    key,
                    value,
                    "workers in public subnets have a way out; leave it out, or say subnets ="
                    ' "private"',
                )


def _check_existing(table: Table, found: NetworkSettings) -> None:
    if not found.subnet_ids:
        raise SettingsError(
            f"{table.where}: subnet_ids is missing; name the subnets of {found.vpc_id} that workers"
            " run in, which need a way to AWS: NAT, or the endpoints of docs/network.md"
        )
    default = NetworkSettings()
    for key in ("cidr", "nat_gateways", "endpoints"):
        value = getattr(found, key)
        if value != getattr(default, key):
            table.fail(key, value, "it is of a new VPC; leave it out, or leave out vpc_id")


def _id(table: Table, key: str, pattern: re.Pattern[str]) -> str | None:
    value: str = table.value(key, str, default="")
    if table.has(key) and not pattern.fullmatch(value):
        table.fail(key, value, "give its id, such as 'vpc-0123456789abcdef0'")
    return value or None


def _ids(table: Table, key: str, pattern: re.Pattern[str], *, most: int) -> tuple[str, ...]:
    ids = tuple(table.strings(key, default=[]))
    example = pattern.pattern.partition("-")[0] + "-0123456789abcdef0"
    for one in ids:
        if not pattern.fullmatch(one):
            table.fail(key, one, f"give ids, such as '{example}'")
    if table.has(key) and not 1 <= len(set(ids)) == len(ids) <= most:
        table.fail(key, list(ids), f"name 1 to {most}, each once")
    return ids


def _cidr(table: Table) -> str:
    """Source: Amazon VPC User Guide, "VPC CIDR blocks"."""
    value: str = table.value("cidr", str, default=DEFAULT_CIDR)
    try:
        network = ip_network(value)
    except ValueError as problem:
        table.fail("cidr", value, f"{problem}; give a range such as '10.20.0.0/16'")
    if not isinstance(network, IPv4Network) or not network.is_private or network.is_loopback:
        table.fail("cidr", value, "give a private range of IPv4, such as '10.20.0.0/16'")
    if not _SHORTEST_PREFIX <= network.prefixlen <= _LONGEST_PREFIX:
        table.fail("cidr", value, f"a VPC of ours has /{_SHORTEST_PREFIX} to /{_LONGEST_PREFIX}")
    return value


def _endpoints(table: Table) -> tuple[str, ...]:
    names = tuple(table.strings("endpoints", default=[]))
    for name in names:
        if name in _AWS_OWN:
            table.fail("endpoints", name, "the network has this one; leave it out")
        if not _ENDPOINT.fullmatch(name) or name.startswith("com.amazonaws"):
            table.fail(
                "endpoints",
                name,
                "name a service as its endpoint ends, such as 'bedrock-runtime' for"
                " com.amazonaws.REGION.bedrock-runtime",
            )
    if len(set(names)) < len(names) or len(names) > _MOST_ENDPOINTS:
        table.fail("endpoints", list(names), f"name at most {_MOST_ENDPOINTS}, each once")
    return names
