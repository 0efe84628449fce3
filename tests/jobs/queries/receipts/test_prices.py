"""The price list: complete, dated, and refused where it is not."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from importlib.resources import files

import pytest

from remotejob.domain.errors import SettingsError
from remotejob.jobs.queries.prices import Prices, list_prices, worker_hour
from remotejob.ports import WorkerSize

TEXT = files("remotejob.jobs.queries").joinpath("prices.toml").read_text(encoding="utf-8")


def test_the_list_has_a_date_a_region_and_a_page_for_each_service() -> None:
    prices = list_prices()
    assert prices.region == "us-east-1"
    assert prices.as_of >= date(2026, 11, 22)
    used = {"dynamodb", "sqs", "s3", "fargate", "lambda"}
    stand_by = {"vpc", "cloudwatch", "kms", "secretsmanager"}
    assert set(prices.pages) == used | stand_by
    assert all(page.startswith("https://aws.amazon.com/") for page in prices.pages.values())


def test_no_price_stands_anywhere_else() -> None:
    figures = set(re.findall(r"= (0\.\d+)", TEXT))
    assert len(figures) == 15
    source = files("remotejob.jobs.queries").joinpath("receipts.py").read_text(encoding="utf-8")
    assert not [figure for figure in figures if figure in source]


@pytest.mark.parametrize(
    ("found", "instead", "told"),
    [
        ("thousand_puts = 0.005", "", "s3.thousand_puts is missing; add it"),
        ("thousand_puts", "thousand_posts = 1\nthousand_puts", "s3.thousand_posts is unknown"),
        ("vcpu_hour = 0.04048", "vcpu_hour = 0", "[fargate] vcpu_hour = 0: a price is a number"),
        ("vcpu_hour = 0.04048", "vcpu_hour = nan", "a price is a number above 0"),
        ("vcpu_hour = 0.04048", 'vcpu_hour = "4"', "[fargate] vcpu_hour = '4': a price"),
        ("vcpu_hour = 0.04048", "vcpu_hour = true", "a price is a number above 0"),
        ("as_of = 2026-11-22", "", "as.of is missing"),
        ("as_of = 2026-11-22", "as_of = 2026-11-22T00:00:00", "`as_of` must be a date"),
        ('page = "https://aws.amazon.com/s3/pricing/"', "", "[s3]: give the AWS price `page`"),
        ("[s3]", "[s3", "prices.toml: not TOML"),
    ],
)
def test_a_list_that_is_not_whole_is_refused(found: str, instead: str, told: str) -> None:
    assert found in TEXT
    with pytest.raises(SettingsError, match=re.escape(told)):
        Prices.parse(TEXT.replace(found, instead, 1))


X86 = WorkerSize(cpu=2048, memory_mib=4096, jobs=4)


@pytest.mark.parametrize(
    ("size", "dollars"),
    [
        (X86, 2 * 0.04048 + 4 * 0.004445),
        (replace(X86, arm=True), 2 * 0.03238 + 4 * 0.00356),
        (replace(X86, storage_gib=120), 2 * 0.04048 + 4 * 0.004445 + 100 * 0.000111),
        (replace(X86, spot_percent=100), (2 * 0.04048 + 4 * 0.004445) * 0.3),
        (replace(X86, spot_percent=50), (2 * 0.04048 + 4 * 0.004445) * 0.65),
        # Spot is no cheaper for storage
        (
            replace(X86, arm=True, storage_gib=21, spot_percent=100),
            (2 * 0.03238 + 4 * 0.00356) * 0.3 + 0.000111,
        ),
    ],
)
def test_an_hour_of_a_worker_has_the_price_of_what_it_is(size: WorkerSize, dollars: float) -> None:
    assert worker_hour(size, list_prices()) == pytest.approx(dollars)
