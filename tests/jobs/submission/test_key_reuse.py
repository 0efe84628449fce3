"""An idempotency key is for one payload: what is the same, and what is refused."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remotejob import (
    InvalidData,
    KeyReused,
    PartlySubmitted,
    Queue,
    RemoteJob,
    Repeat,
    Retry,
    Submission,
)
from remotejob.domain.conditions import Value
from remotejob.domain.transactions import Put
from remotejob.jobs.submission import submission
from remotejob.jobs.submission.idempotency import _key
from remotejob.jobs.submission.payload import payload_of, what_differs
from remotejob.jobs.submission.submission import check
from remotejob.names import Field
from remotejob.ports import Area, Installation
from remotejob.testing import FakeClock, memory_installation
from remotejob.testing.interception import intercepted

T = TypeVar("T")

LONG = "x" * 20_000


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue()


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [
        ({"data": {"id": 7}}, {"data": {"id": 8}}, ("data",)),
        ({"data": 1}, {"data": True}, ("data",)),
        ({"data": 1}, {}, ("data",)),
        ({"data": [1, 2]}, {"data": [2, 1]}, ("data",)),
        ({"data": LONG}, {"data": f"{LONG}y"}, ("data",)),
        ({"data": LONG}, {"data": "x"}, ("data",)),
        ({"body": b"ab"}, {"body": b"abc"}, ("size of its input",)),
        ({"body": b"ab"}, {"body": b"ab", "filename": "cat.jpg"}, ("input",)),
        ({"body": b"ab", "content_type": "text/csv"}, {"body": b"ab"}, ("input",)),
        ({}, {"body": b"ab", "data": 1}, ("data", "input")),
        ({"resource": "a"}, {"resource": "b"}, ("resource",)),
        ({"tenant": "a"}, {}, ("tenant",)),
        ({"repeat": Repeat(times=1)}, {"repeat": Repeat(times=2)}, ("repeat",)),
    ],
)
def test_another_payload_is_refused_and_what_differs_is_named(
    queue: Queue, installation: Installation, first: Any, second: Any, differs: tuple[str, ...]
) -> None:
    job = queue.submit("work", **first, idempotency_key="order 7")
    files = len(list(installation.files.keys(Area.INPUT, "")))
    with pytest.raises(KeyReused, match="give another key") as refused:
        queue.submit("work", **second, idempotency_key="order 7")

    assert (refused.value.job_id, refused.value.differs) == (job.id, differs)
    for named in ("'order 7'", job.id, *differs):
        assert named in str(refused.value)
    assert len(queue.jobs()) == 1
    assert len(list(installation.files.keys(Area.INPUT, ""))) == files
    assert queue.submit("work", **first, idempotency_key="order 7").id == job.id


def test_a_guessed_type_is_no_part_of_it(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    first = queue.submit("work", body=b"ab", filename="a.parquet", idempotency_key="k")
    # as the system's tables of another machine say
    monkeypatch.setattr(submission, "guess_content_type", lambda _: "application/x-other")
    again = queue.submit("work", body=b"ab", filename="a.parquet", idempotency_key="k")
    assert again.id == first.id


def test_another_task_is_another_payload(clock: FakeClock) -> None:
    queue = RemoteJob(memory_installation(clock, queues={"default": ("a", "b")})).queue()
    queue.submit("a", idempotency_key="k")
    with pytest.raises(KeyReused) as refused:
        queue.submit("b", idempotency_key="k")
    assert refused.value.differs == ("task",)


def test_what_a_client_may_say_anew_when_it_tries_again_is_the_same(
    queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "scan.txt"
    path.write_bytes(b"abc")
    again: list[dict[str, Any]] = [
        {"body": path},
        {"body": str(path), "delay": timedelta(hours=1)},
        {"body": b"abc", "filename": "scan.txt", "retry": Retry(max_attempts=3)},
        {"body": io.BytesIO(b"abc"), "filename": "scan.txt", "priority": 10},
        {"body": NoSeek(b"longer, which nobody knows"), "filename": "scan.txt"},
    ]
    ids = {queue.submit("work", data=1, idempotency_key="k", **one).id for one in again}
    assert len(ids) == 1

    for day in (20, 21):
        until = datetime(2099, 1, day, tzinfo=UTC)
        ids.add(queue.submit("work", repeat=Repeat(until=until), idempotency_key="r").id)
    assert len(ids) == 2


class NoSeek(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_after_its_window_a_key_takes_another_payload(queue: Queue, clock: FakeClock) -> None:
    first = queue.submit("work", data=1, idempotency_key="k")
    clock.advance(timedelta(days=1))
    second = queue.submit("work", data=2, idempotency_key="k")
    assert second.id != first.id
    with pytest.raises(KeyReused):
        queue.submit("work", data=1, idempotency_key="k")


def test_a_restarted_job_is_still_the_one_that_was_submitted(queue: Queue) -> None:
    job = queue.submit("work", data=1, idempotency_key="k").cancel()
    job.restart(retry=Retry(max_attempts=9))
    assert queue.submit("work", data=1, idempotency_key="k").id == job.id


@pytest.mark.parametrize("odd", [None, "{", "[]", '{"task":7}', 5])
def test_a_key_of_an_earlier_version_or_an_odd_one_is_compared_with_nothing_it_does_not_say(
    queue: Queue, installation: Installation, clock: FakeClock, odd: Any
) -> None:
    job = queue.submit("work")
    content: dict[str, Value] = {Field.JOB: job.id, Field.EXPIRES: clock.now_ms() // 1000 + 60}
    if odd is not None:
        content[Field.PAYLOAD] = odd
    installation.store.transact([Put(key=_key("k", "default"), content=content)])
    if odd == '{"task":7}':
        with pytest.raises(KeyReused):
            queue.submit("work", idempotency_key="k")
    else:
        assert queue.submit("work", data=2, idempotency_key="k").id == job.id


def test_among_many_two_payloads_under_one_key_are_refused_before_any_is_stored(
    queue: Queue,
) -> None:
    keyed = [Submission("work", data=number, idempotency_key="k") for number in (1, 2)]
    with pytest.raises(InvalidData, match="'k' is given twice, with another data"):
        queue.submit_many([Submission("work"), *keyed])
    assert queue.jobs() == []

    first = queue.submit("work", data=1, idempotency_key="k")
    with pytest.raises(PartlySubmitted) as partly:
        queue.submit_many([keyed[0], keyed[1]][1:])
    assert isinstance(partly.value.__cause__, KeyReused)
    assert partly.value.__cause__.job_id == first.id


class Calls:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        self.counts[name] += 1
        return function()


def test_it_takes_no_request_more(installation: Installation) -> None:
    calls = Calls()
    queue = RemoteJob(intercepted(installation, calls)).queue()
    queue.submit("work", data=LONG, idempotency_key="k")
    calls.counts.clear()
    with pytest.raises(KeyReused):
        queue.submit("work", data="other", idempotency_key="k")
    assert calls.counts == {"store.item": 1, "store.get": 1}


def _json() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("ab1", max_size=2), inner, max_size=3)
        ),
        max_leaves=8,
    )


def _otherwise(value: Any) -> Any:
    """The same value, as another JSON library might write it."""
    if isinstance(value, dict):
        return {name: _otherwise(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [_otherwise(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


def _canonical(value: Any) -> Any:
    """Equal where JSON does not tell two values apart; made in another way than the code."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, int | float):
        return ("number", value)
    if isinstance(value, list):
        return ("list", [_canonical(one) for one in value])
    return ("object", sorted((name, _canonical(one)) for name, one in value.items()))


@settings(max_examples=60, deadline=None)
@given(first=_json(), second=_json())
def test_data_is_the_same_exactly_where_json_is(first: Any, second: Any) -> None:
    installation = memory_installation()

    def payload(data: Any) -> str:
        submission = Submission("work", data=data, idempotency_key="k")
        queue = installation.queues["default"]
        return payload_of(check(submission, queue=queue, installation=installation))

    assert what_differs(payload(first), payload(_otherwise(first))) == ()
    assert what_differs(payload(first), payload(json.loads(json.dumps(first)))) == ()
    same = _canonical([first]) == _canonical([second]) if first is not None else second is None
    assert (what_differs(payload(first), payload(second)) == ()) is same
