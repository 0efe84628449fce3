"""Uploads become jobs: once for each version, whatever else is in the batch."""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from remotejob import QueueUnavailable, RemoteJob, State
from remotejob.domain.ids import shard_of
from remotejob.domain.marks import Attention
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.times import from_ms
from remotejob.functions import on_upload
from remotejob.functions.logs import new_logger
from remotejob.names import UPLOAD_RECEIVES
from remotejob.ports import Channel, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from tests.functions.conftest import Context, Upload, batch, changed, event

T = TypeVar("T")

Jobs = Callable[[], list[JobRecord]]
Pending = Callable[[Channel], list[str]]
NO_FAILURES: dict[str, Any] = {"batchItemFailures": []}


def _failed(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def _keys(records: list[JobRecord]) -> set[str]:
    return {record.input.key for record in records if record.input is not None}


def test_an_upload_becomes_the_job_its_route_says(
    upload: Upload, jobs: Jobs, pending: Pending, clock: FakeClock
) -> None:
    assert upload(event("eventbridge_object_created")) == NO_FAILURES

    (job,) = jobs()
    assert (job.state, job.task, job.queue, job.priority) == (
        State.READY,
        "thumbnail",
        "default",
        -10,
    )
    assert job.data_json == '{"size":400}'
    assert job.input == InputFile(
        bucket="photo-uploads",
        key="photos/cat.jpg",
        size=184320,
        name="cat.jpg",
        version="IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
        etag="b1946ac92492d2347c6235b4d2611184",
        content_type="image/jpeg",
    )
    assert job.created_ms == clock.now_ms()
    assert pending(Channel.HIGH) == [job.id]


def test_the_id_of_an_upload_begins_with_the_time_of_its_event(upload: Upload, jobs: Jobs) -> None:
    from remotejob.domain.ids import created_ms

    upload(event("eventbridge_object_created"))
    assert f"{from_ms(created_ms(jobs()[0].id)):%Y-%m-%dT%H:%M:%SZ}" == "2026-01-15T11:59:58Z"


@pytest.mark.parametrize(
    "name", ["eventbridge_object_created", "s3_put", "eventbridge_unversioned"]
)
def test_an_event_delivered_again_makes_no_other_job_and_sends_again(
    upload: Upload, jobs: Jobs, pending: Pending, name: str
) -> None:
    upload(event(name), event(name))
    upload(event(name))

    (job,) = jobs()
    assert pending(Channel.HIGH) == [job.id] * 3


def test_an_event_delivered_again_leaves_the_job_as_it_stands(
    upload: Upload, jobs: Jobs, installation: Installation
) -> None:
    tasks = Registry()
    tasks.task("thumbnail")(lambda job: "done")
    upload(event("eventbridge_object_created"))
    Simulation(installation=installation, tasks=tasks).step()
    (before,) = jobs()
    assert before.state is State.COMPLETED

    upload(event("eventbridge_object_created"))

    assert jobs() == [before]


def test_a_new_version_of_a_key_is_a_new_job(upload: Upload, jobs: Jobs) -> None:
    upload(
        event("eventbridge_object_created"),
        changed("eventbridge_object_created", **{"version-id": "another"}),
    )
    versions = {job.input.version for job in jobs() if job.input is not None}
    assert versions == {"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "another"}


def test_without_versions_the_sequencer_tells_uploads_apart(upload: Upload, jobs: Jobs) -> None:
    upload(
        event("eventbridge_unversioned"),
        changed("eventbridge_unversioned", sequencer="00617F08299329D18A"),
    )
    assert len(jobs()) == 2
    assert {job.input.version for job in jobs() if job.input is not None} == {None}


def test_a_key_of_eventbridge_is_taken_as_it_is(upload: Upload, jobs: Jobs) -> None:
    upload(event("eventbridge_multipart_complete"))

    (job,) = jobs()
    assert job.input is not None
    assert job.input.key == "photos/größe + 写真 100%.jpg"
    assert job.input.name == "größe + 写真 100%.jpg"
    assert job.input.size == 7340032


def test_a_key_that_looks_encoded_is_taken_as_it_is(upload: Upload, jobs: Jobs) -> None:
    upload(changed("eventbridge_object_created", key="photos/a%20b+c.jpg"))
    assert _keys(jobs()) == {"photos/a%20b+c.jpg"}


def test_keys_of_a_notification_are_decoded(upload: Upload, jobs: Jobs) -> None:
    assert upload(event("s3_encoded_keys")) == NO_FAILURES
    assert _keys(jobs()) == {"photos/my photo+1 (copy).jpg", "photos/größe/写真.jpg"}


def test_a_multipart_upload_is_an_upload(upload: Upload, jobs: Jobs) -> None:
    upload(event("s3_multipart_complete"))
    assert _keys(jobs()) == {"photos/large.jpg"}


@pytest.mark.parametrize("name", ["s3_test_event", "s3_removed"])
def test_what_tells_of_no_upload_makes_no_job_and_no_failure(
    upload: Upload, jobs: Jobs, name: str
) -> None:
    assert upload(event(name)) == NO_FAILURES
    assert jobs() == []


@pytest.mark.parametrize("key", ["notes/cat.jpg", "photos/cat.gif", "photos/", "any/folder/"])
def test_an_upload_without_a_route_makes_no_job_and_is_logged(
    upload: Upload, jobs: Jobs, logged: pytest.LogCaptureFixture, key: str
) -> None:
    assert upload(changed("eventbridge_object_created", key=key)) == NO_FAILURES

    assert jobs() == []
    (line,) = [record for record in logged.records if "no route" in record.getMessage()]
    assert line.__dict__["key"] == key


def test_inputs_of_submitted_jobs_make_no_job(upload: Upload, jobs: Jobs) -> None:
    key = "jobs/01KF0RDQG00000000000000000/cat.jpg"
    assert upload(changed("eventbridge_object_created", key=key)) == NO_FAILURES
    assert jobs() == []


@pytest.mark.parametrize(
    "bad",
    [
        event("unknown"),
        event("eventbridge_object_deleted"),
        "not JSON",
        "",
        "[]",
        "null",
        {"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {}}},
        {"Records": [{"eventName": "ObjectCreated:Put"}]},
    ],
    ids=["unknown", "deleted", "text", "empty", "a list", "null", "half an event", "half a record"],
)
def test_a_message_that_fails_takes_no_other_down(upload: Upload, jobs: Jobs, bad: Any) -> None:
    good = [changed("eventbridge_object_created", key=f"photos/{n}.jpg") for n in range(3)]

    answer = upload(good[0], bad, good[1], good[2])

    assert _failed(answer) == ["1"]
    assert _keys(jobs()) == {"photos/0.jpg", "photos/1.jpg", "photos/2.jpg"}


@pytest.mark.parametrize("bad", [{"Records": [{"eventName": "ObjectCreated:Put"}]}], ids=["half"])
def test_half_a_notification_is_an_unknown_event(bad: Any) -> None:
    with pytest.raises(on_upload.UnknownEvent, match="without"):
        list(on_upload.uploads_in(json.dumps(bad)))


def test_a_batch_of_nothing_but_failures_reports_each(upload: Upload) -> None:
    assert _failed(upload("x", "y")) == ["0", "1"]


def test_an_upload_whose_message_was_not_taken_is_reported_and_made_good(
    upload: Upload,
    jobs: Jobs,
    pending: Pending,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise QueueUnavailable("the queue is full")

    with monkeypatch.context() as broken:
        broken.setattr(installation.messages, "send", refuse)
        assert _failed(upload(event("s3_put"))) == ["0"]
    assert pending(Channel.HIGH) == []

    assert upload(event("s3_put")) == NO_FAILURES
    (job,) = jobs()
    assert pending(Channel.HIGH) == [job.id]


def test_a_route_to_a_queue_that_is_not_deployed_fails_and_makes_no_job(
    upload: Upload, jobs: Jobs, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    stoppable = replace(installation, queues={})
    monkeypatch.setattr(on_upload, "from_environment", lambda: stoppable)

    assert _failed(upload(event("s3_put"))) == ["0"]
    assert jobs() == []


def test_a_message_that_fails_for_the_last_time_is_set_aside_with_the_reason(
    context: Context, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = replace(installation, queues={})
    monkeypatch.setattr(on_upload, "from_environment", lambda: without)
    handler: Any = on_upload.handler

    def received(times: int) -> list[str]:
        delivered = batch(event("s3_put"), "not an event")
        for record in delivered["Records"]:
            record["attributes"]["ApproximateReceiveCount"] = str(times)
        return _failed(handler(delivered, context))

    assert received(UPLOAD_RECEIVES - 1) == ["0", "1"]
    assert RemoteJob(installation).dead_letters().letters == ()
    assert received(UPLOAD_RECEIVES) == []

    first, second = RemoteJob(installation).dead_letters(kind="uploads")
    assert "unknown queue 'default'" in first.reason
    assert json.loads(first.body) == event("s3_put")
    assert "UnknownEvent: not JSON" in second.reason


def test_a_message_that_cannot_be_set_aside_is_left_to_sqs(
    context: Context, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Refusing(Channel.UPLOADS_DEAD_LETTER)
    monkeypatch.setattr(on_upload, "from_environment", lambda: intercepted(installation, refusing))
    delivered = batch("not an event")
    delivered["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(UPLOAD_RECEIVES)
    handler: Any = on_upload.handler

    assert _failed(handler(delivered, context)) == ["0"]


@dataclass
class Refusing:
    """One queue accepts nothing."""

    channel: Channel

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if name == "messages.send" and arguments[0].channel is self.channel:
            raise QueueUnavailable("the queue does not answer")
        return function()


LAST_PARTS = {
    "dots": ("..", "input"),
    "dot": (".", "input"),
    "many dots": ("....", "input"),
    "line end": ("a\nb.txt", "a_b.txt"),
    "carriage return": ("a\r\nb.txt", "a__b.txt"),
    "tab": ("a\tb.pdf", "a_b.pdf"),
    "null": ("a\0b.pdf", "a_b.pdf"),
    "escape": ("\x1b[31m.txt", "_[31m.txt"),
    "C1 control": ("a\x9b31m.txt", "a_31m.txt"),
    "backslash": ("scans\\page 1.pdf", "scans_page 1.pdf"),
    "control alone": ("\n", "_"),
    "long": ("x" * 300, "x" * 255),
    "long with a suffix": ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
    "long with two": ("x" * 300 + ".tar.gz", "x" * 248 + ".tar.gz"),
    "long suffix": ("a." + "x" * 300, "a." + "x" * 253),
    "over 255 bytes": ("ü" * 130 + ".jpeg", "ü" * 125 + ".jpeg"),
    "over 255 bytes, four each": ("😀" * 64 + ".tif", "😀" * 62 + ".tif"),
    "long in both parts": ("a.b c" * 80 + ".PDF", ("a.b c" * 80)[:251] + ".PDF"),
    "at the limit": ("写" * 84 + "abc", "写" * 84 + "abc"),
    "hidden": (".profile", ".profile"),
    "dash": ("-rf.txt", "-rf.txt"),
    "plain": ("a+b%20c =&.txt", "a+b%20c =&.txt"),
}


@pytest.mark.parametrize(("last", "name"), LAST_PARTS.values(), ids=LAST_PARTS)
def test_a_key_that_is_no_file_name_makes_a_job_with_the_nearest_one(
    upload: Upload, jobs: Jobs, last: str, name: str
) -> None:
    assert upload(changed("eventbridge_object_created", key=f"any/{last}")) == NO_FAILURES

    (job,) = jobs()
    assert job.input is not None
    assert job.input.key == f"any/{last}"
    assert job.input.name == name
    assert len(name.encode()) <= 255


def test_an_upload_whose_event_is_a_day_late_is_marked_for_the_scheduler(
    upload: Upload, jobs: Jobs, pending: Pending, installation: Installation
) -> None:
    late = changed("eventbridge_object_created", time="2026-01-14T11:59:59Z")
    assert upload(late) == NO_FAILURES

    (job,) = jobs()
    assert job.state is State.WAITING
    assert job.attention_ms is not None
    marks = installation.store.attention(
        Attention.WAITING, shard_of(job.id), until_ms=job.attention_ms
    )
    assert [mark.job_id for mark in marks] == [job.id]
    assert pending(Channel.HIGH) == [job.id]
    tasks = Registry()
    tasks.task("thumbnail")(lambda job: None)
    Simulation(installation=installation, tasks=tasks).step()
    assert jobs()[0].state is State.COMPLETED


def test_an_upload_within_a_day_is_not_marked(upload: Upload, jobs: Jobs) -> None:
    upload(changed("eventbridge_object_created", time="2026-01-14T12:00:01Z"))
    (job,) = jobs()
    assert (job.state, job.attention) == (State.READY, None)


def _notification(*keys: str) -> dict[str, Any]:
    """One notification about several objects; a key of "" is of a record that cannot be read."""
    template = event("s3_put")["Records"][0]
    records: list[Any] = []
    for key in keys:
        record = copy.deepcopy(template)
        record["s3"]["object"]["key"] = key
        records.append(record if key else {"eventName": "ObjectCreated:Put"})
    return {"Records": records}


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "bad",
    [
        {"eventName": "ObjectCreated:Put"},
        None,
        "text",
        7,
        [],
        {},
        {"eventName": None},
        {"eventName": "ObjectCreated:Put", "s3": None},
    ],
)
def test_a_record_that_cannot_be_read_takes_no_sibling_down(
    upload: Upload, jobs: Jobs, bad: Any, place: int
) -> None:
    notification = _notification("photos/a.jpg", "photos/b.jpg")
    notification["Records"].insert(place, bad)

    assert _failed(upload(notification)) == ["0"]
    assert _keys(jobs()) == {"photos/a.jpg", "photos/b.jpg"}
    before = jobs()
    # the message comes back
    assert _failed(upload(notification)) == ["0"]
    assert jobs() == before


@pytest.mark.parametrize(
    ("field", "value"), [("size", "large"), ("key", None), ("key", 5), ("size", {})]
)
def test_a_record_with_a_bad_value_takes_no_sibling_down(
    upload: Upload, jobs: Jobs, field: str, value: Any
) -> None:
    notification = _notification("photos/a.jpg", "photos/b.jpg", "photos/c.jpg")
    notification["Records"][1]["s3"]["object"][field] = value

    assert _failed(upload(notification)) == ["0"]
    assert _keys(jobs()) == {"photos/a.jpg", "photos/c.jpg"}


def test_a_record_whose_job_is_not_stored_takes_no_sibling_down(
    upload: Upload, jobs: Jobs, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = installation.store.put_new

    def refuse(record: JobRecord) -> Any:
        if record.input is not None and record.input.key == "photos/a.jpg":
            raise ConnectionError("not stored")
        return store(record)

    notification = _notification("photos/a.jpg", "photos/b.jpg", "photos/c.jpg")
    with monkeypatch.context() as broken:
        broken.setattr(installation.store, "put_new", refuse)
        assert _failed(upload(notification)) == ["0"]
    assert _keys(jobs()) == {"photos/b.jpg", "photos/c.jpg"}
    assert upload(notification) == NO_FAILURES
    assert len(jobs()) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("etag", 5),
        ("etag", ["x"]),
        ("etag", "\ud800"),
        ("key", 5),
        ("key", "\ud800"),
        ("key", None),
    ],
)
def test_an_event_with_a_field_that_is_no_text_is_not_understood(name: str, value: object) -> None:
    detail = {
        "bucket": {"name": "in"},
        "object": {"key": "cat.jpg", "size": 1, "etag": "e", "sequencer": "1", name: value},
    }
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-01-01T00:00:00Z",
        "detail": detail,
    }
    with pytest.raises(on_upload.UnknownEvent):
        list(on_upload.uploads_in(json.dumps(event)))


def test_half_a_surrogate_pair_does_not_lose_the_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest's report of the log could not be sent to another process
    monkeypatch.setattr(logging.getLogger("test"), "propagate", False)
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    logger = new_logger("test", stream=written)
    logger.info("key \ud800", extra={"key": "\udfff"})
    written.seek(0)
    line = json.loads(written.read())
    assert (line["message"], line["key"]) == ("key \ud800", "\udfff")
