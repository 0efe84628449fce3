"""Files kept by themselves, and jobs made of them: remotejob's store, trigger, retrieve, remove."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    InvalidBody,
    InvalidData,
    InvalidInput,
    InvalidName,
    Queue,
    RemoteJob,
    State,
    UnknownTask,
)
from remotejob.domain.metadata import METADATA_LIMIT
from remotejob.names import INPUT_PREFIX_SUBMITTED
from remotejob.ports import Area, Installation
from remotejob.testing import Simulation
from tests.manual.looking import EMPTY, depth

CAT: dict[str, Any] = {"name": "Cat Montage", "filename": "cat.jpg", "body": b"a cat"}


@pytest.fixture
def single(system: RemoteJob) -> Queue:
    """A queue with one task."""
    return system.queue("single")


def test_what_is_stored_comes_back_with_what_was_said_of_it(queue: Queue) -> None:
    key = queue.store({**CAT, "author": "Zoë 写真 100%"})

    stored = queue.retrieve("input", key)

    assert stored.metadata == {
        "name": "Cat Montage",
        "filename": "cat.jpg",
        "author": "Zoë 写真 100%",
    }
    assert (stored.key, stored.size, stored.content_type) == (key, 5, "image/jpeg")
    with stored.open() as stream:
        assert stream.read() == b"a cat"
    with queue.download("input", key) as stream:
        assert stream.read() == b"a cat"


def test_storing_makes_no_job(queue: Queue, installation: Installation) -> None:
    key = queue.store(CAT)

    assert queue.jobs() == []
    assert depth(installation) == EMPTY
    # uploads elsewhere are jobs where a route takes them
    assert key.startswith(INPUT_PREFIX_SUBMITTED)


def test_a_body_may_be_a_path_a_stream_or_nothing(queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "dog.png"
    path.write_bytes(b"a dog")

    by_path = queue.retrieve("input", queue.store({"body": path}))
    by_stream = queue.retrieve("input", queue.store({"body": io.BytesIO(b"streamed")}))
    without = queue.retrieve("input", queue.store({"name": "only said"}))

    assert by_path.open().read() == b"a dog"
    assert by_path.metadata == {"filename": "dog.png"}
    assert by_path.content_type == "image/png"
    assert by_stream.open().read() == b"streamed"
    assert (without.size, without.metadata) == (0, {"name": "only said"})


def test_the_key_may_be_chosen_and_is_the_same_each_time(queue: Queue) -> None:
    key = queue.store({"key": "cats/first", "body": b"1"})
    again = queue.store({"key": key, "body": b"2"})
    other = queue.store({"body": b"3"})

    assert key == again != other
    assert key.endswith("/cats/first")
    assert queue.download("input", key).read() == b"2"


def test_a_retrieved_file_is_downloaded_under_its_own_name(queue: Queue, tmp_path: Path) -> None:
    stored = queue.retrieve("input", queue.store(CAT))

    assert stored.download(tmp_path) == tmp_path / "cat.jpg"
    assert stored.download(f"{tmp_path}/new/") == tmp_path / "new" / "cat.jpg"
    assert stored.download(tmp_path / "mine") == tmp_path / "mine"
    assert (tmp_path / "cat.jpg").read_bytes() == (tmp_path / "mine").read_bytes() == b"a cat"


def test_a_file_whose_name_would_lead_elsewhere_is_downloaded_under_another(
    queue: Queue, tmp_path: Path
) -> None:
    key = queue.store_raw("somebody/else's", {"filename": "../../evil"}, b"content")

    assert queue.retrieve("input", key).download(tmp_path) == tmp_path / "else's"


@pytest.mark.parametrize(
    ("key", "filename", "name"),
    [
        ("scans/page\t1\\2.pdf", "", "page_1_2.pdf"),
        ("scans/" + "x" * 300 + ".pdf", "", "x" * 251 + ".pdf"),
        ("scans/photo.jpg/", "", "photo.jpg"),
        ("scans/..", "", "input"),
        ("key", "a\nb.pdf", "a_b.pdf"),
        ("key", "..", "key"),
    ],
)
def test_stored_file_of_an_odd_name_is_downloaded_under_the_nearest(
    queue: Queue, tmp_path: Path, key: str, filename: str, name: str
) -> None:
    queue.store_raw(key, {"filename": filename} if filename else {}, b"content")

    stored = queue.retrieve("input", key)

    assert stored.key == key
    assert stored.download(tmp_path) == tmp_path / name
    assert (tmp_path / name).read_bytes() == b"content"


def test_removed_file_of_any_key_is_gone(queue: Queue) -> None:
    key = queue.store_raw("control\x01character", {}, b"content")

    queue.remove("input", key)

    with pytest.raises(FileNotFoundError):
        queue.retrieve("input", key)


def test_raw_files_go_under_exactly_their_key(queue: Queue) -> None:
    assert queue.store_raw("photos/cat.jpg", {"by": "me"}, b"a cat") == "photos/cat.jpg"

    stored = queue.retrieve("input", "photos/cat.jpg")
    assert (stored.metadata, stored.content_type) == ({"by": "me"}, "image/jpeg")


def test_a_triggered_file_becomes_a_job(queue: Queue, worker: Simulation) -> None:
    job = queue.trigger("pending", queue.store(CAT), task="work")

    assert job.input is not None
    assert (job.filename, job.input.size, job.input.content_type) == ("cat.jpg", 5, "image/jpeg")
    assert job.data == {"name": "Cat Montage"}
    (taken,) = queue.get_work()
    assert taken.open().read() == b"a cat"
    taken.done()
    assert job.refresh().state is State.COMPLETED


def test_each_trigger_makes_a_job_of_its_own(single: Queue) -> None:
    key = single.store(CAT)

    first, second = single.trigger("pending", key), single.trigger("pending", key)

    assert first.id != second.id
    assert {job.id for job in single.get_work(max_jobs=5)} == {first.id, second.id}


def test_a_job_works_on_what_was_stored_when_it_was_triggered(single: Queue) -> None:
    key = single.store({"key": "cat", "body": b"first"})
    single.trigger("pending", key)
    single.store({"key": "cat", "body": b"second"})

    (job,) = single.get_work()

    assert job.open().read() == b"first"


def test_a_file_without_a_body_becomes_a_job_without_an_input(single: Queue) -> None:
    job = single.trigger("pending", single.store({"name": "only said"}))

    assert job.input is None
    assert job.data == {"name": "only said"}


def test_triggering_needs_no_task_where_there_is_but_one(queue: Queue, single: Queue) -> None:
    key = queue.store(CAT)

    assert single.trigger("pending", key).task == "work"
    with pytest.raises(InvalidName, match="runs other, work; say which with task="):
        queue.trigger("pending", key)
    with pytest.raises(UnknownTask, match="'wrok'"):
        queue.trigger("pending", key, task="wrok")


def test_triggering_what_is_not_there_makes_no_job(single: Queue) -> None:
    with pytest.raises(FileNotFoundError, match="no/such"):
        single.trigger("pending", "no/such")
    with pytest.raises(InvalidName, match=r"queue name 'completed': .* 'pending'"):
        single.trigger("completed", single.store(CAT))

    assert single.jobs() == []


def test_removed_files_are_gone(queue: Queue) -> None:
    key = queue.store(CAT)

    queue.remove("input", key)
    queue.remove("input", key)

    with pytest.raises(FileNotFoundError):
        queue.retrieve("input", key)
    with pytest.raises(FileNotFoundError):
        queue.download("input", key)


def test_outputs_are_retrieved_and_removed_by_their_keys(queue: Queue) -> None:
    submitted = queue.submit("work")
    (job,) = queue.get_work()
    job.output("cat.png", b"png")
    job.done()
    key = submitted.refresh().outputs["cat.png"].key

    assert queue.retrieve(Area.OUTPUT, key).content_type == "image/png"
    assert queue.download("output", key).read() == b"png"
    queue.remove("output", key)
    with pytest.raises(FileNotFoundError):
        queue.retrieve("output", key)


@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.retrieve("input", None),
        lambda queue: queue.download("input", None),
        lambda queue: queue.remove("output", None),
        lambda queue: queue.trigger("pending", None, task="work"),
    ],
)
def test_a_key_that_is_no_text_is_refused(queue: Queue, call: Callable[[Queue], Any]) -> None:
    with pytest.raises(InvalidName, match="key None: a key is text, such as `store` returns"):
        call(queue)


@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.retrieve("in", "key"),
        lambda queue: queue.download("in", "key"),
        lambda queue: queue.remove("in", "key"),
    ],
)
def test_an_unknown_direction_is_refused(queue: Queue, call: Callable[[Queue], Any]) -> None:
    with pytest.raises(InvalidName, match="direction 'in': use one of input, output"):
        call(queue)


@pytest.mark.parametrize(
    ("data", "refusal", "match"),
    [
        ({"Name": "Cat"}, InvalidName, "'Name': use lower-case letters"),
        ({"a name": "Cat"}, InvalidName, "'a name'"),
        ({7: "Cat"}, InvalidName, "metadata 7"),
        ({"size": 400}, InvalidData, r"size=400: not text; use str\(\)"),
        ({"name": "\ud800"}, InvalidData, "not valid Unicode"),
        ({"name": "x" * METADATA_LIMIT}, InvalidData, "S3 allows 2048"),
        ({"name": "ü" * (METADATA_LIMIT // 6)}, InvalidData, "beyond ASCII takes"),
        ({"filename": "../cat.jpg"}, InvalidName, "no slashes"),
        ({"key": "../cat"}, InvalidName, "'..' parts"),
        ({"key": 7}, InvalidName, "key 7"),
        ({"body": "no/such/file"}, InvalidBody, "is not a file"),
        ({"body": io.StringIO("text")}, InvalidBody, "opened with mode 'rb'"),
        ("cat.jpg", InvalidData, "give a dict"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_leaves_nothing(
    queue: Queue, installation: Installation, data: Any, refusal: type[InvalidInput], match: str
) -> None:
    with pytest.raises(refusal, match=match):
        queue.store(data)

    assert list(installation.files.keys(Area.INPUT, "")) == []


def test_as_much_is_noted_as_s3_takes(queue: Queue) -> None:
    value = "x" * (METADATA_LIMIT - len("name"))

    assert queue.retrieve("input", queue.store({"name": value})).metadata == {"name": value}


def test_what_remotejobs_programs_submit_is_submitted_as_it_is(queue: Queue) -> None:
    job = queue.submit("work", **CAT)

    assert (job.filename, job.data) == ("cat.jpg", {"name": "Cat Montage"})
    with_more = queue.submit("work", name="Cat", data={"size": 400})
    assert with_more.data == {"size": 400, "name": "Cat"}


@pytest.mark.parametrize("data", [{"name": "Dog"}, ["size"], 7, ""])
def test_a_name_that_has_no_place_in_the_data_is_refused(queue: Queue, data: Any) -> None:
    with pytest.raises(InvalidData, match="name='Cat'"):
        queue.submit("work", name="Cat", data=data)

    assert queue.jobs() == []


@pytest.mark.parametrize("key", ["", "x" * 1025, "\ud800"])
def test_a_key_s3_cannot_take_is_refused(queue: Queue, key: str) -> None:
    with pytest.raises(InvalidName, match="key "):
        queue.store_raw(key, {}, b"content")
