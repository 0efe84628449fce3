"""Ids: they sort by time, tell their partition, and the same upload has the same one."""

from __future__ import annotations

import os
import random
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob.domain.ids import (
    created_ms,
    first_id_at,
    is_job_id,
    new_job_id,
    new_run_id,
    partition,
    partition_of,
    shard_of,
    upload_job_id,
)
from remotejob.domain.times import from_ms, to_ms
from remotejob.names import SHARDS

TIMES = st.integers(0, to_ms(datetime(9772, 12, 31, tzinfo=UTC)))
SEEDS = st.integers(0, 2**32)
PARTS = st.text(max_size=20)


def _id(at_ms: int, seed: int) -> str:
    return new_job_id(at_ms, random.Random(seed).randbytes)


@given(TIMES, SEEDS)
def test_an_id_tells_when_it_was_made(at_ms: int, seed: int) -> None:
    assert created_ms(_id(at_ms, seed)) == at_ms


def test_an_id_of_a_time_that_is_no_date_is_none() -> None:
    assert not is_job_id("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
    assert is_job_id("6ZZZZZZZZZZZZZZZZZZZZZZZZZ")
    assert partition_of("6ZZZZZZZZZZZZZZZZZZZZZZZZZ").startswith("9774")


@given(TIMES, SEEDS)
def test_an_id_is_an_id(at_ms: int, seed: int) -> None:
    job_id = _id(at_ms, seed)
    assert is_job_id(job_id)
    assert len(job_id) == 26


@given(TIMES, TIMES, SEEDS, SEEDS)
def test_ids_sort_by_time(one_ms: int, other_ms: int, seed: int, other_seed: int) -> None:
    if one_ms != other_ms:
        assert (_id(one_ms, seed) < _id(other_ms, other_seed)) is (one_ms < other_ms)


@given(TIMES, SEEDS)
def test_the_first_id_of_a_millisecond_bounds_the_others(at_ms: int, seed: int) -> None:
    assert first_id_at(at_ms) <= _id(at_ms, seed) < first_id_at(at_ms + 1)


@given(TIMES, SEEDS)
def test_the_partition_follows_from_the_id(at_ms: int, seed: int) -> None:
    job_id = _id(at_ms, seed)
    day, _, shard = partition_of(job_id).partition("#")
    assert day == f"{from_ms(at_ms):%Y%m%d}"
    assert int(shard) == shard_of(job_id)
    assert 0 <= shard_of(job_id) < SHARDS


def test_a_partition_is_named_by_day_and_shard() -> None:
    assert partition(date(2026, 11, 22), 5) == "20261122#5"


def test_jobs_spread_evenly_over_the_shards() -> None:
    source = random.Random(1)
    counts = [0] * SHARDS
    for _ in range(8000):
        counts[shard_of(new_job_id(0, source.randbytes))] += 1
    assert min(counts) > 800


def test_ids_of_one_millisecond_differ() -> None:
    assert len({new_job_id(0, os.urandom) for _ in range(1000)}) == 1000


@given(TIMES, PARTS, PARTS, PARTS)
def test_an_upload_has_the_same_valid_id_each_time(
    at_ms: int, bucket: str, key: str, version: str
) -> None:
    first = upload_job_id(at_ms, bucket=bucket, key=key, version=version)
    assert first == upload_job_id(at_ms, bucket=bucket, key=key, version=version)
    assert is_job_id(first)
    assert created_ms(first) == at_ms


@given(st.tuples(PARTS, PARTS, PARTS), st.tuples(PARTS, PARTS, PARTS))
def test_different_uploads_have_different_ids(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    def upload(parts: tuple[str, str, str]) -> str:
        bucket, key, version = parts
        return upload_job_id(0, bucket=bucket, key=key, version=version)

    assert (upload(one) == upload(other)) is (one == other)


@given(st.text(min_size=1, max_size=12), st.data())
def test_where_bucket_key_and_version_part_matters(text: str, data: st.DataObject) -> None:
    def split() -> tuple[str, str, str]:
        first = data.draw(st.integers(0, len(text)))
        second = data.draw(st.integers(first, len(text)))
        return text[:first], text[first:second], text[second:]

    one, other = split(), split()
    ids = {upload_job_id(0, bucket=b, key=k, version=v) for b, k, v in (one, other)}
    assert len(ids) == len({one, other})


def test_a_letter_that_moves_from_bucket_to_key_makes_another_job() -> None:
    ids = {
        upload_job_id(0, bucket="a", key="bc", version=""),
        upload_job_id(0, bucket="ab", key="c", version=""),
        upload_job_id(0, bucket="a", key="b", version="c"),
    }
    assert len(ids) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01KF0RDQG0000000000000000",
        "01KF0RDQG000000000000000000",
        "01KF0RDQG0000000000000000\n",
        "01KF0RDQG0000000000000000U",
        "81KF0RDQG00000000000000000",
        "01kf0rdqg00000000000000000",
        "../../../../../etc/passwd.",
    ],
    ids=["empty", "short", "long", "line end", "letter U", "overflow", "lower case", "a path"],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert not is_job_id(text)


def test_a_run_id_is_sixteen_hexadecimal_digits() -> None:
    run_id = new_run_id(random.Random(0).randbytes)
    assert len(run_id) == 16
    assert int(run_id, 16) >= 0
    assert new_run_id(os.urandom) != new_run_id(os.urandom)
