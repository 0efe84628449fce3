"""The functions, set up with a system in memory, and events as AWS sends them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remotejob.backends.memory import MemoryMessages
from remotejob.domain.record import JobRecord
from remotejob.functions import on_upload, scheduler
from remotejob.names import SHARDS, Env
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, memory_installation

EVENTS = Path(__file__).parent / "events"
SETTINGS = """
[queues.default]
tasks = ["thumbnail", "keep"]

[[routes]]
prefix = "photos/"
suffixes = [".jpg"]
task = "thumbnail"
priority = "high"
data = { size = 400 }

[[routes]]
prefix = "any/"
task = "keep"
"""

Upload = Callable[..., dict[str, Any]]


class Context:
    """What Lambda tells a function about its run."""

    function_name = "function"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:function"
    aws_request_id = "52fdfc07-2182-154f-163f-5f0f9a621d72"
    remaining_ms = 300_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def event(name: str) -> Any:
    """An event as the services document it."""
    return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))


def changed(name: str, *, time: str | None = None, **of_object: Any) -> Any:
    """The same event of EventBridge, about another object."""
    changed = event(name)
    changed["detail"]["object"].update(of_object)
    if time is not None:
        changed["time"] = time
    return changed


def batch(*messages: Any) -> dict[str, Any]:
    """The messages as Lambda receives them from a queue; ids are their numbers."""
    record = event("sqs_record")
    records = []
    for number, message in enumerate(messages):
        one = copy.deepcopy(record)
        one["messageId"] = str(number)
        one["body"] = message if isinstance(message, str) else json.dumps(message)
        records.append(one)
    return {"Records": records}


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock, queues={"default": ("thumbnail", "keep")})


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture(autouse=True)
def _set_up(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Cold functions, which find the settings and the system."""
    settings = tmp_path / "remotejob.toml"
    settings.write_text(SETTINGS)
    monkeypatch.setenv(Env.SETTINGS, str(settings))
    for function in (on_upload, scheduler):
        monkeypatch.setattr(function, "from_environment", lambda: installation)
    _forget()
    yield
    _forget()


def _forget() -> None:
    on_upload._set_up.cache_clear()
    scheduler._installation.cache_clear()


@pytest.fixture
def upload(context: Context) -> Upload:
    """Give the function a batch of messages; its answer."""

    def call(*messages: Any) -> dict[str, Any]:
        answer: Any = on_upload.handler(batch(*messages), context)  # type: ignore[arg-type]
        return dict(answer)

    return call


@pytest.fixture
def jobs(installation: Installation) -> Callable[[], list[JobRecord]]:
    """Every job of the days around the test's, the oldest first."""

    def found() -> list[JobRecord]:
        return sorted(
            (
                record
                for day in range(10, 20)
                for shard in range(SHARDS)
                for record in installation.store.listing(f"202601{day}#{shard}")
            ),
            key=lambda record: record.id,
        )

    return found


@pytest.fixture
def pending(installation: Installation) -> Callable[[Channel], list[str]]:
    """Ids of the jobs with a message in a lane, in the order they were sent."""

    def ids(channel: Channel) -> list[str]:
        assert isinstance(installation.messages, MemoryMessages)
        bodies = installation.messages.bodies(Address("default", channel))
        return [json.loads(body)["id"] for body in bodies]

    return ids
