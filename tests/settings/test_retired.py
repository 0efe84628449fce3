"""A queue that takes no new jobs, in the settings."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob.domain.errors import SettingsError
from remotejob.settings import parse

QUEUES: dict[str, Any] = {
    "default": {"tasks": ["work"]},
    "old": {"tasks": ["work"], "retired": True},
}


def test_a_queue_is_retired_only_if_it_says_so() -> None:
    queues = parse({"queues": QUEUES}).queues
    assert [name for name, queue in queues.items() if queue.retired] == ["old"]


def test_a_route_to_a_retired_queue_is_refused() -> None:
    routes = [{"task": "work", "prefix": "a/"}, {"task": "work", "queue": "old"}]
    with pytest.raises(SettingsError, match=r"number 2: queue = 'old': it is retired.*another"):
        parse({"queues": QUEUES, "routes": routes})


@pytest.mark.parametrize("value", ["yes", 1, "true"])
def test_it_is_true_or_false(value: object) -> None:
    queue = {"tasks": ["work"], "retired": value}
    with pytest.raises(SettingsError, match="retired"):
        parse({"queues": {"default": queue}})
