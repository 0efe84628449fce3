"""What resources cost while nothing runs: by the hour or the month, used or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from remotejob.jobs.queries.prices import Prices

HOURS_A_MONTH: Final = 730
"""Source: AWS Pricing Calculator, which counts a month so."""

_UNITS_PER_VCPU: Final = 1024
_MIB_PER_GB: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """A resource, as far as its price depends on it."""

    kind: str
    """Its CloudFormation type."""
    properties: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CostLine:
    """Several of one kind."""

    what: str
    count: int
    dollars_an_hour: float


def idle_cost(resources: Iterable[Priced], prices: Prices) -> list[CostLine]:
    """What resources cost before anything is done with them, the dearest first.

    Buckets, queues, tables on demand, functions, parameters and logs cost what is stored in them,
    or each request, and so nothing here.
    """
    counts: Counter[str] = Counter()
    dollars: Counter[str] = Counter()
    for one in resources:
        what, units, price = _price(one, prices)
        if units and price:
            counts[what] += units
            dollars[what] += units * price  # type: ignore[assignment]
    lines = [
        CostLine(what=what, count=count, dollars_an_hour=float(dollars[what]))
        for what, count in counts.items()
    ]
    return sorted(lines, key=lambda line: -line.dollars_an_hour)


def worker_line(*, count: int, cpu_units: int, memory_mib: int, prices: Prices) -> CostLine:
    """Running workers of one size, at the price of Fargate on demand."""
    an_hour = (
        cpu_units / _UNITS_PER_VCPU * prices.fargate_vcpu_hour
        + memory_mib / _MIB_PER_GB * prices.fargate_gb_hour
    )
    return CostLine(what="running worker", count=count, dollars_an_hour=count * an_hour)


def total(lines: Iterable[CostLine]) -> float:
    """Dollars an hour."""
    return sum(line.dollars_an_hour for line in lines)


def cost_text(lines: list[CostLine], prices: Prices) -> str:
    """A sentence without a full stop."""
    if not lines:
        return "nothing by the hour, only what is stored and each request"
    parts = ", ".join(
        f"{line.count} {line.what}{'' if line.count == 1 else 's'} ${line.dollars_an_hour:.4f}"
        for line in lines
    )
    hour = total(lines)
    return (
        f"${hour:.4f} an hour, ${hour * HOURS_A_MONTH:,.2f} a month ({parts}), and what is stored;"
        f" list prices of {prices.region}, {prices.as_of.isoformat()}"
    )


def _price(one: Priced, prices: Prices) -> tuple[str, int, float]:
    """The kind's name, how many units it is, and a unit's price an hour."""
    match one.kind:
        case "AWS::EC2::NatGateway":
            return "NAT gateway", 1, prices.vpc_nat_gateway_hour
        case "AWS::EC2::EIP":
            return "public address", 1, prices.vpc_public_address_hour
        case "AWS::EC2::VPCEndpoint" if one.properties.get("VpcEndpointType") == "Interface":
            zones = len(one.properties.get("SubnetIds", [None]))
            return "zone of an endpoint", zones, prices.vpc_endpoint_hour
        case "AWS::CloudWatch::Alarm":
            metrics = [m for m in one.properties.get("Metrics", []) if "MetricStat" in m]
            return "alarm metric", len(metrics) or 1, prices.cloudwatch_alarm_month / HOURS_A_MONTH
        case "AWS::KMS::Key":
            return "key", 1, prices.kms_key_month / HOURS_A_MONTH
        case "AWS::SecretsManager::Secret":
            return "secret", 1, prices.secretsmanager_secret_month / HOURS_A_MONTH
        case _:
            return "", 0, 0.0
