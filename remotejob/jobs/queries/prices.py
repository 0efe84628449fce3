"""AWS list prices for what jobs use, read from `prices.toml`, which also has their date."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from remotejob.domain.errors import SettingsError
from remotejob.names import FREE_STORAGE_GIB
from remotejob.ports import WorkerSize

_FILE: Final = "prices.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """List prices in US dollars. Names begin with the service and say the quantity."""

    region: str
    as_of: date
    pages: Mapping[str, str]
    """The AWS price page of each service."""
    dynamodb_million_write_units: float
    dynamodb_million_read_units: float
    sqs_million_requests: float
    sqs_million_fair_requests: float
    """Added for a message sent with a message group."""
    s3_thousand_puts: float
    s3_thousand_gets: float
    fargate_vcpu_hour: float
    fargate_gb_hour: float
    fargate_arm_vcpu_hour: float
    fargate_arm_gb_hour: float
    fargate_storage_gb_hour: float
    """For ephemeral storage beyond what is free; the same on each processor."""
    fargate_spot_fraction: float
    """What Spot costs of the price on demand, about; it applies to processor and memory alone."""
    lambda_million_requests: float
    vpc_nat_gateway_hour: float
    vpc_endpoint_hour: float
    """An interface endpoint, in each of its zones."""
    vpc_public_address_hour: float
    cloudwatch_alarm_month: float
    """Each metric of an alarm."""
    kms_key_month: float
    secretsmanager_secret_month: float

    @classmethod
    def parse(cls, text: str) -> Prices:
        """Raises: SettingsError, naming a missing key, an unknown one, or an invalid price."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as problem:
            raise SettingsError(f"{_FILE}: not TOML: {problem}") from None
        values: dict[str, Any] = {}
        pages: dict[str, str] = {}
        for name, value in document.items():
            if not isinstance(value, dict):
                values[name] = value
                continue
            pages[name] = value.pop("page", "")
            if not pages[name].startswith("https://"):
                raise SettingsError(f"{_FILE}: [{name}]: give the AWS price `page`, a URL")
            values |= {f"{name}_{key}": _price(name, key, price) for key, price in value.items()}
        _check_complete({*values, "pages"})
        if type(values["as_of"]) is not date or not isinstance(values["region"], str):
            raise SettingsError(
                f"{_FILE}: `as_of` must be a date such as 2026-01-31, `region` text"
            )
        return cls(pages=MappingProxyType(pages), **values)


def worker_hour(size: WorkerSize, prices: Prices) -> float:
    """Dollars for an hour of a worker, at the mean price of those on demand and on Spot.

    Source: AWS Fargate pricing.
    """
    vcpu, gb = prices.fargate_vcpu_hour, prices.fargate_gb_hour
    if size.arm:
        vcpu, gb = prices.fargate_arm_vcpu_hour, prices.fargate_arm_gb_hour
    on_demand = size.cpu / 1024 * vcpu + size.memory_mib / 1024 * gb
    saved = size.spot_percent / 100 * (1 - prices.fargate_spot_fraction)
    charged_gib = max(0, size.storage_gib - FREE_STORAGE_GIB)
    return on_demand * (1 - saved) + charged_gib * prices.fargate_storage_gb_hour


@cache
def list_prices() -> Prices:
    """The prices that ship with this version of the library."""
    return Prices.parse(files("remotejob.jobs.queries").joinpath(_FILE).read_text(encoding="utf-8"))


def _price(service: str, key: str, price: object) -> float:
    number = isinstance(price, int | float) and not isinstance(price, bool)
    if not number or not 0 < float(str(price)) < float("inf"):
        raise SettingsError(f"{_FILE}: [{service}] {key} = {price!r}: a price is a number above 0")
    return float(str(price))


def _check_complete(found: set[str]) -> None:
    known = {field.name for field in fields(Prices)}
    for missing in sorted(known - found):
        raise SettingsError(f"{_FILE}: {missing.replace('_', '.', 1)} is missing; add it")
    for unknown in sorted(found - known):
        raise SettingsError(f"{_FILE}: {unknown.replace('_', '.', 1)} is unknown; take it out")
