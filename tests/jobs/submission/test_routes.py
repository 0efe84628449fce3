"""Routes that name a tenant and a rate: uploads that come too fast wait, and none is dropped."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob import Queue, SettingsError, State
from remotejob.domain.name_rules import check_tenant
from remotejob.domain.places import MINUTE_MS, next_place, place_ms
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import Put
from remotejob.jobs.scheduler.tick import tick
from remotejob.jobs.submission.route_rate import _key
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.names import Field
from remotejob.ports import Area, Installation
from remotejob.settings import Settings, parse
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from tests.aws import counted_requests

MINUTE = timedelta(minutes=1)


def _settings(**route: Any) -> Settings:
    return parse(
        {
            "queues": {"default": {"tasks": ["work"]}},
            "routes": [{"prefix": "in/", "task": "work", **route}],
        }
    )


@pytest.fixture
def upload(installation: Installation) -> Callable[..., JobRecord]:
    """A file arrives; its job."""
    count = iter(range(10**6))

    def arrive(settings: Settings, key: str = "in/file", number: int | None = None) -> JobRecord:
        version = str(next(count) if number is None else number)
        made = ingest(
            Upload(
                bucket=installation.files.bucket(Area.INPUT),
                key=key,
                size=1,
                etag=None,
                version=version,
                sequencer=None,
                at_ms=installation.clock.now_ms(),
            ),
            settings,
            installation,
        )
        assert made is not None
        return made

    return arrive


Arrive = Callable[..., JobRecord]


def test_what_comes_too_fast_runs_in_later_minutes_and_all_of_it_runs(
    upload: Arrive,
    installation: Installation,
    clock: FakeClock,
    tasks: Registry,
    worker: Simulation,
) -> None:
    settings = _settings(max_per_minute=3)
    ran: list[int] = []
    tasks.task("work")(lambda _: ran.append(clock.now_ms() // MINUTE_MS))
    made = [upload(settings) for _ in range(8)]
    assert [record.state for record in made] == [State.READY] * 3 + [State.WAITING] * 5

    for _ in range(16):
        while worker.step():
            pass
        tick(installation)
        clock.advance(MINUTE / 4)

    assert len(ran) == 8
    assert max(Counter(ran).values()) <= 3


def test_a_long_backlog_is_spread_beyond_what_a_message_can_be_delayed(
    upload: Arrive,
    installation: Installation,
    clock: FakeClock,
    tasks: Registry,
    worker: Simulation,
) -> None:
    settings = _settings(max_per_minute=1)
    ran: list[int] = []
    tasks.task("work")(lambda _: ran.append(clock.now_ms() // MINUTE_MS))
    for _ in range(18):
        upload(settings)

    for _ in range(24):
        while worker.step():
            pass
        tick(installation)
        clock.advance(MINUTE)

    assert len(ran) == 18
    assert max(Counter(ran).values()) == 1


def test_the_next_minute_has_room_again(upload: Arrive, clock: FakeClock) -> None:
    settings = _settings(max_per_minute=2)
    for _ in range(2):
        assert upload(settings).state is State.READY
    clock.advance(MINUTE)
    assert upload(settings).state is State.READY


def test_a_place_in_this_minute_is_ready_however_long_it_takes_to_get(
    upload: Arrive, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = clock.now_ms

    def later_each_time() -> int:
        clock.advance(timedelta(milliseconds=1))
        return reads()

    monkeypatch.setattr(clock, "now_ms", later_each_time)
    assert upload(_settings(max_per_minute=1)).state is State.READY


def test_each_tenant_has_a_rate_of_its_own(upload: Arrive) -> None:
    settings = _settings(max_per_minute=1, tenant="{folder}")
    states = [upload(settings, f"in/{name}/f").state for name in ("a", "b", "a", "c")]
    assert states == [State.READY, State.READY, State.WAITING, State.READY]


def test_jobs_of_a_route_may_have_a_last_time_to_begin_from_when_they_may(
    upload: Arrive, clock: FakeClock
) -> None:
    settings = _settings(max_per_minute=1, expires_seconds=90)
    first, later = upload(settings), upload(settings)
    assert first.start_by_ms == clock.now_ms() + 90_000
    assert later.due_ms is not None
    assert later.start_by_ms == later.due_ms + 90_000
    assert upload(_settings()).start_by_ms is None


def test_the_same_upload_again_makes_no_second_job(upload: Arrive, queue: Queue) -> None:
    settings = _settings(max_per_minute=1)
    first, again = upload(settings, number=1), upload(settings, number=1)
    assert first.id == again.id
    assert again.state is State.READY
    assert len(queue.jobs()) == 1


def test_uploads_at_the_same_time_take_different_places(
    upload: Arrive, installation: Installation
) -> None:
    settings = _settings(max_per_minute=4)
    barrier = threading.Barrier(6)

    def arrive() -> list[int]:
        barrier.wait()
        return [upload(settings).due_ms or 0 for _ in range(4)]

    with ThreadPoolExecutor(6) as pool:
        due = [one for made in pool.map(lambda _: arrive(), range(6)) for one in made]

    assert due.count(0) == 4
    assert len(set(due)) == 24 - 4 + 1


@pytest.mark.parametrize("odd", ["soon", 10**15, frozenset({"1"}), None])
def test_an_odd_item_delays_nobody_for_ever(
    upload: Arrive, installation: Installation, odd: Any
) -> None:
    settings = _settings(max_per_minute=2)
    content: dict[str, Any] = {} if odd is None else {Field.PLACE: odd}
    key = _key(settings.routes[0], None)
    installation.store.transact([Put(key=key, content={Field.CONTENT: "", **content})])

    assert [upload(settings).state for _ in range(3)] == [State.READY] * 2 + [State.WAITING]


def test_a_route_without_a_rate_asks_for_nothing_more(upload: Arrive) -> None:
    with counted_requests() as counts:
        upload(_settings(tenant="acme"))
    assert counts.keys() <= {"PutItem", "SendMessage", "SendMessageBatch"}


@pytest.mark.parametrize(
    ("tenant", "key", "named"),
    [
        ("acme", "in/x/f", "acme"),
        ("{folder}", "in/acme/f", "acme"),
        ("{folder}", "in//acme/f", "acme"),
        ("t-{folder}", "in/acme/deep/f", "t-acme"),
        ("{folder}", "in/f", "-"),
        ("{folder}", "in/a b/f", "a%20b"),
        ("{folder}", "in/café/f", "caf%C3%A9"),
        ("{folder}", "in/50%/f", "50%25"),
    ],
)
def test_a_route_names_the_tenant_of_its_uploads(
    upload: Arrive, tenant: str, key: str, named: str
) -> None:
    assert upload(_settings(tenant=tenant), key).tenant == named


def test_the_tenants_limit_holds_for_uploads(installation: Installation) -> None:
    described = replace(installation.queues["default"], tenant_limit=2)
    limited = replace(installation, queues={"default": described})
    file = Upload(
        bucket="b", key="in/acme/f", size=1, etag="e", version=None, sequencer=None, at_ms=0
    )
    made = ingest(file, _settings(tenant="{folder}"), limited)
    assert made is not None
    assert (made.tenant, made.tenant_limit) == ("acme", 2)


@given(st.text(max_size=300), st.text(max_size=300))
def test_every_folder_has_a_tenant_and_two_have_two(one: str, two: str) -> None:
    (route,) = _settings(tenant="{folder}").routes
    folders = [f"x{name.replace('/', '')}" for name in (one, two)]
    tenants = [route.tenant_of(f"in/{folder}/file") for folder in folders]
    for tenant in tenants:
        check_tenant(tenant)
    if all(name.isascii() or name.encode(errors="replace").decode() == name for name in folders):
        assert (folders[0] == folders[1]) is (tenants[0] == tenants[1])


@given(st.lists(st.integers(0, 5 * MINUTE_MS), min_size=1, max_size=60), st.integers(1, 20))
def test_no_minute_has_more_places_than_the_rate(times: list[int], rate: int) -> None:
    last, due = None, []
    for now_ms in sorted(times):
        last = next_place(last, now_ms=now_ms, per_minute=rate)
        due.append(place_ms(last, now_ms=now_ms, per_minute=rate))
        assert due[-1] >= now_ms
    assert max(Counter(at // MINUTE_MS for at in due).values()) <= rate


@pytest.mark.parametrize(
    "route",
    [
        {"tenant": "a b"},
        {"tenant": "{file}"},
        {"tenant": "{folder}{folder}"},
        {"tenant": "x" * 129},
        {"tenant": 1},
        {"max_per_minute": 0},
        {"max_per_minute": 60_001},
        {"max_per_minute": "100/minute"},
        {"expires_seconds": 0},
        {"expires_seconds": 1.5},
    ],
)
def test_an_odd_tenant_or_rate_is_refused_by_name(route: dict[str, Any]) -> None:
    (key,) = route
    with pytest.raises(SettingsError, match=rf"\[\[routes\]\] number 1: {key} = "):
        _settings(**route)
