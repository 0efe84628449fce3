"""Rules with a schedule fire when EventBridge would fire them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import ControlError
from remotejob.local.schedules import UnsupportedSchedule, next_firing

START = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(1 minute)", "2026-03-01T12:01:30"),
        ("rate(5 minutes)", "2026-03-01T12:05:30"),
        ("rate(2 hours)", "2026-03-01T14:00:30"),
        ("rate(1 day)", "2026-03-02T12:00:30"),
        ("cron(0 3 * * ? *)", "2026-03-02T03:00:00"),
        ("cron(0/15 * * * ? *)", "2026-03-01T12:15:00"),
        ("cron(30 9 ? * MON-FRI *)", "2026-03-02T09:30:00"),
        ("cron(0 0 ? * 1 *)", "2026-03-08T00:00:00"),
        ("cron(15 10 29 2 ? *)", "2028-02-29T10:15:00"),
        ("cron(5,35 14 * JAN,JUN ? 2027)", "2027-01-01T14:05:00"),
    ],
)
def test_next_firing(expression: str, expected: str) -> None:
    assert next_firing(expression, START) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "expression", ["cron(0 0 L * ? *)", "cron(0 0 ? * 6#3 *)", "every day", "cron(0 0 * * *)"]
)
def test_schedule_that_is_not_understood_is_refused_by_name(expression: str) -> None:
    with pytest.raises(UnsupportedSchedule, match=r"use rate\("):
        next_firing(expression, START)


@pytest.mark.parametrize(("rule", "body"), [("Functions/Tick", "tick"), ("Functions/Cron", "cron")])
def test_fired_rule_invokes_its_function_with_its_input(
    aws: EmbeddedAws, results: Callable[..., list[dict[str, Any]]], rule: str, body: str
) -> None:
    aws.fire_schedule(rule)
    assert results(lambda found: found.get("sent") == body)


def test_rule_without_a_schedule_cannot_be_fired(aws: EmbeddedAws) -> None:
    with pytest.raises(ControlError, match="no rule with a schedule"):
        aws.fire_schedule("Functions/Uploaded")
