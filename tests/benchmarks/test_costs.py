"""What a million jobs cost, from counted requests and units."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.costs import per_million
from benchmarks.measuring import Side
from remotejob.jobs.queries.prices import Prices, list_prices


@pytest.fixture
def prices() -> Prices:
    return replace(
        list_prices(),
        sqs_million_requests=0.4,
        dynamodb_million_write_units=0.625,
        dynamodb_million_read_units=0.125,
        s3_thousand_puts=0.005,
        s3_thousand_gets=0.0004,
    )


def side(
    jobs: int = 10, *, units: dict[str, float] | None = None, **requests: dict[str, int]
) -> Side:
    counted = Counter(
        {
            (service, operation): count
            for service, operations in requests.items()
            for operation, count in operations.items()
        }
    )
    return Side(jobs=jobs, requests=counted, cpu_ms_a_job=1, units=units or {})


def test_every_request_to_sqs_costs_the_same_whatever_it_does(prices: Prices) -> None:
    sides = {
        "submit": side(sqs={"SendMessageBatch": 1}),
        "work": side(sqs={"ReceiveMessage": 1, "DeleteMessage": 10}),
    }

    # 0.1 + 1.1 requests a job
    assert per_million(sides, prices).sqs == pytest.approx(1.2 * 0.4)


def test_dynamodb_is_billed_by_units_and_not_by_requests(prices: Prices) -> None:
    sides = {
        "work": side(
            dynamodb={"UpdateItem": 10},
            units={"write units": 20, "index writes": 10, "read units": 5},
        )
    }

    assert per_million(sides, prices).dynamodb == pytest.approx(3 * 0.625 + 0.5 * 0.125)


def test_puts_cost_more_than_gets_and_deletes_nothing(prices: Prices) -> None:
    sides = {"work": side(s3={"PutObject": 10, "GetObject": 20, "DeleteObject": 10})}

    assert per_million(sides, prices).s3 == pytest.approx(5.0 + 2 * 0.4)


def test_sides_with_different_numbers_of_jobs_count_a_job_each(prices: Prices) -> None:
    sides = {
        "submit": side(100, sqs={"SendMessage": 100}),
        "work": side(400, sqs={"DeleteMessage": 400}),
    }

    cost = per_million(sides, prices)

    assert cost.total == pytest.approx(2 * 0.4)


def test_full_record_inline_in_bulk_stays_under_its_bar() -> None:
    """Three writes of a small record and four tenths of a request to SQS, at list prices."""
    sides = {
        "submit": side(
            100,
            sqs={"SendMessageBatch": 10},
            dynamodb={"PutItem": 100},
            units={"write units": 100},
        ),
        "work": side(
            100,
            sqs={"ReceiveMessage": 10, "SendMessageBatch": 10, "DeleteMessageBatch": 10},
            dynamodb={"UpdateItem": 200},
            units={"write units": 200},
        ),
    }

    assert 2.0 < per_million(sides, list_prices()).total <= 2.10
