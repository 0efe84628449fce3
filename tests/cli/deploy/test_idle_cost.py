"""What resources cost while nothing runs."""

from __future__ import annotations

import pytest

from remotejob.cli.deploy.idle_cost import (
    HOURS_A_MONTH,
    Priced,
    cost_text,
    idle_cost,
    total,
    worker_line,
)
from remotejob.jobs.queries.prices import list_prices

PRICES = list_prices()
ALARM = {"Metrics": [{"MetricStat": {}}, {"Expression": "a"}, {"MetricStat": {}}]}


def dollars(kind: str, **properties: object) -> float:
    return total(idle_cost([Priced(kind=kind, properties=properties)], PRICES))


@pytest.mark.parametrize(
    "kind", ["S3::Bucket", "SQS::Queue", "DynamoDB::Table", "Lambda::Function"]
)
def test_what_is_paid_by_request_costs_nothing_by_the_hour(kind: str) -> None:
    assert dollars(f"AWS::{kind}") == 0


def test_what_is_paid_by_the_hour_is_counted() -> None:
    assert dollars("AWS::EC2::NatGateway") == PRICES.vpc_nat_gateway_hour
    assert dollars("AWS::EC2::EIP") == PRICES.vpc_public_address_hour
    zones = {"VpcEndpointType": "Interface", "SubnetIds": ["a", "b"]}
    assert dollars("AWS::EC2::VPCEndpoint", **zones) == 2 * PRICES.vpc_endpoint_hour
    assert dollars("AWS::EC2::VPCEndpoint", VpcEndpointType="Gateway") == 0
    assert dollars("AWS::KMS::Key") * HOURS_A_MONTH == pytest.approx(PRICES.kms_key_month)


def test_each_metric_of_an_alarm_is_paid() -> None:
    alarm = PRICES.cloudwatch_alarm_month
    assert dollars("AWS::CloudWatch::Alarm") * HOURS_A_MONTH == pytest.approx(alarm)
    assert dollars("AWS::CloudWatch::Alarm", **ALARM) * HOURS_A_MONTH == pytest.approx(2 * alarm)


def test_lines_of_a_kind_are_one_with_the_dearest_first() -> None:
    kinds = ["AWS::CloudWatch::Alarm", "AWS::EC2::NatGateway", "AWS::CloudWatch::Alarm"]
    lines = idle_cost([Priced(kind=kind, properties={}) for kind in kinds], PRICES)

    assert [(line.what, line.count) for line in lines] == [("NAT gateway", 1), ("alarm metric", 2)]
    text = cost_text(lines, PRICES)
    assert text.startswith(
        "$0.0453 an hour, $33.05 a month (1 NAT gateway $0.0450, 2 alarm metrics"
    )
    assert PRICES.as_of.isoformat() in text


def test_running_workers_cost_what_fargate_asks() -> None:
    line = worker_line(count=3, cpu_units=2048, memory_mib=4096, prices=PRICES)
    each = 2 * PRICES.fargate_vcpu_hour + 4 * PRICES.fargate_gb_hour
    assert line.dollars_an_hour == pytest.approx(3 * each)


def test_nothing_is_said_as_nothing() -> None:
    assert cost_text([], PRICES).startswith("nothing by the hour")
