"""Odd items are shown: by `doctor`, by a metric, and by an alarm."""

from __future__ import annotations

import json

import pytest

from remotejob import UnreadableItem
from remotejob.cli.exit_codes import Exit, explain
from remotejob.domain.ids import partition_of
from remotejob.domain.metric_names import Count
from remotejob.domain.unreadable import SkippedItems
from remotejob.ports import Installation
from remotejob.testing import FakeClock, memory_installation
from remotejob.worker.metrics import Metrics, Totals
from tests.cli.conftest import Run, run  # noqa: F401 (a fixture)
from tests.odd.odd_items import odd_id, put, record


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


def odd(installation: Installation) -> str:
    job_id = odd_id(installation)
    item = record(installation, STATE={"S": "levitating\x1b[31m"})
    put(installation, partition_of(job_id), job_id, item)
    return job_id


def test_doctor_names_each_item_with_its_key_and_what_is_wrong(
    installation: Installation,
    run: Run,  # noqa: F811 (the fixture)
) -> None:
    assert "findings: 0" in run("doctor").stderr
    job_id = odd(installation)

    done = run("doctor", code=6)

    assert f"{partition_of(job_id)} / {job_id}: j_state='levitating" in done.stdout
    assert "\x1b" not in done.stdout
    assert "aws dynamodb delete-item" in done.stdout
    (found,) = json.loads(run("doctor", "--json", code=6).stdout)["findings"]
    assert found["place"] == f"{partition_of(job_id)} / {job_id}"


def test_show_says_what_is_wrong_and_ls_goes_on(
    installation: Installation,
    run: Run,  # noqa: F811 (the fixture)
) -> None:
    job_id = odd(installation)
    honest = run("submit", "work").stdout.strip()

    assert honest in run("ls").stdout
    # the command line explains the error in one line (see `exit_codes`)
    for command in ("show", "why"):
        with pytest.raises(UnreadableItem) as raised:
            run(command, job_id)
        code, line = explain(raised.value)
        assert code == Exit.TROUBLE
        assert "levitating" in line
        assert "remotejob doctor" in line


def test_an_item_is_said_once_and_counted_each_time(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = odd(installation)

    for _ in range(3):
        assert installation.store.get_many([job_id]) == []

    assert installation.skipped.count == 3
    assert [one.levelname for one in caplog.records if job_id in one.getMessage()] == ["WARNING"]


def test_the_worker_counts_what_its_readers_left_out(
    installation: Installation, clock: FakeClock
) -> None:
    written: list[Totals] = []
    skipped: SkippedItems = installation.skipped
    metrics = Metrics(clock=clock, write=written.append, skipped=skipped)
    installation.store.get_many([odd(installation)] * 2)
    installation.store.get_many([odd(installation)])

    metrics.flush()
    metrics.flush()

    assert [dict(one.counts) for one in written] == [{Count.UNREADABLE: 2}]
