"""Objects, lines and iterators of which batches are made, and what is wrong with some of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import Queue, RemoteJob, State, Submission
from remotejob.domain.batches import BatchState
from remotejob.domain.errors import (
    BatchUnfinished,
    InvalidBody,
    InvalidData,
    InvalidInput,
    InvalidName,
)
from remotejob.jobs.submission.batch_manifests import LONGEST_LINE, csv_rows, json_lines
from remotejob.ports import Area, Installation
from remotejob.testing import FakeClock, Simulation
from tests.jobs.batches.working import let_time_pass, work_off

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def data_of(queue: Queue, source: Any, **options: Any) -> list[Any]:
    return [job.data for job in queue.map("work", source, **options).children()]


def test_each_object_under_a_prefix_becomes_a_job_at_its_version(
    queue: Queue, remote: RemoteJob, installation: Installation
) -> None:
    files = installation.files
    for key in ("in/b.txt", "in/a.txt", "in/deep/c.txt", "in/", "other/d.txt", "inn/e.txt"):
        files.put(Area.INPUT, key, b"first")

    batch = queue.map("work", f"s3://{remote.input_bucket}/in/", data={"size": 3})
    files.put(Area.INPUT, "in/a.txt", b"second")

    jobs = list(batch.children())
    assert [job.filename for job in jobs] == ["a.txt", "b.txt", "c.txt"]
    assert [job.data for job in jobs] == [{"size": 3}] * 3
    for job in jobs:
        assert job.input is not None
        with files.open(job.input.bucket, job.input.key, version=job.input.version) as stream:
            assert stream.read() == b"first"


def test_whole_bucket_is_without_what_jobs_keep_there(
    queue: Queue, remote: RemoteJob, installation: Installation
) -> None:
    queue.submit("work", body=b"of a job")
    installation.files.put(Area.INPUT, "mine.txt", b"mine")

    batch = queue.map("work", f"s3://{remote.input_bucket}/")

    assert [job.filename for job in batch.children()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://elsewhere/in/", "workers may only read '.*input'; copy the files there"),
        ("s3://elsewhere/rows.csv", "is not one of this system's"),
    ],
)
def test_other_buckets_are_refused_with_the_remedy(
    queue: Queue, remote: RemoteJob, address: str, message: str
) -> None:
    with pytest.raises(InvalidName, match=message):
        queue.map("work", address)
    assert remote.jobs() == []


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.NDJSON"])
def test_each_line_of_json_becomes_a_job(queue: Queue, write: Write, name: str) -> None:
    path = write(name, '\ufeff{"n": 1}\r\n\n[2]\n"three"\nnull\n4')

    assert data_of(queue, path) == [{"n": 1}, [2], "three", None, 4]


def test_each_row_of_a_csv_file_becomes_a_job(queue: Queue, write: Write) -> None:
    path = write("rows.csv", '\ufeffname,text\r\na,"one, two"\r\n\r\nb,"over\ntwo ""lines"""\r\n')

    assert data_of(queue, str(path), data={"x": 1}) == [
        {"x": 1, "name": "a", "text": "one, two"},
        {"x": 1, "name": "b", "text": 'over\ntwo "lines"'},
    ]


@pytest.mark.parametrize("area", list(Area))
def test_manifest_may_lie_in_the_systems_buckets(
    queue: Queue, installation: Installation, area: Area
) -> None:
    stored = installation.files.put(area, "lists/rows.jsonl", b"1\n2\n")

    assert data_of(queue, f"s3://{stored.bucket}/{stored.key}") == [1, 2]


def test_line_too_long_for_the_record_is_kept_in_a_note(
    queue: Queue, write: Write, worker: Simulation
) -> None:
    path = write("rows.jsonl", json.dumps("x" * 100_000))

    batch = queue.map("work", path)
    work_off(worker)

    (job,) = batch.children()
    assert job.result == "x" * 100_000


HOSTILE: dict[str, tuple[str, str | bytes, str]] = {
    "not JSON": ("rows.jsonl", '{"n": 1}\n{"n": \n', r"rows.jsonl, line 2 is not JSON"),
    "deep": ("rows.jsonl", "1\n" + "[" * 200_000, r"rows.jsonl, line 2 is not JSON"),
    "no number": ("rows.jsonl", "1\n\nNaN\n", r"rows.jsonl, line 3: data cannot be written"),
    "half a letter": ("rows.jsonl", b"1\n2\n\xff\n", r"rows.jsonl, line 3 is not UTF-8"),
    "surrogate": ("rows.jsonl", r'"\ud800"', r"rows.jsonl, line 1: data cannot be written"),
    "no end": ("rows.jsonl", b"1\n" + b"x" * 3 * LONGEST_LINE, r"line 2 is longer than 1048576"),
    "long": ("rows.jsonl", b'"' + b"x" * LONGEST_LINE + b'"\n1', r"line 1 is longer than 1048576"),
    "too few": ("rows.csv", "a,b\n1,2\n3\n", r"rows.csv, line 3 has 1 fields, and the first row 2"),
    "too many": ("rows.csv", "a,b\n1,2,3\n", r"rows.csv, line 2 has 3 fields"),
    "same twice": ("rows.csv", "a,a\n1,2\n", r"line 1: the first row must name each field once"),
    "unnamed": ("rows.csv", "a,\n1,2\n", r"line 1: the first row must name each field"),
    "open quote": ("rows.csv", 'a\n"' + "x\n" * 200, r"rows.csv, line \d+ is not CSV"),
    "open quote, long": ("rows.csv", 'a\n"' + "x\n" * 100_000, r"ends within quotes"),
    "after a quote": ("rows.csv", 'a\n"b"c\n', r"rows.csv, line 2 is not CSV"),
    "row without an end": (
        "rows.csv",
        "a\n" + '"x\n",' * 300_000,
        r"rows.csv, line \d+ is longer than 1048576",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_manifest_is_refused_by_line_before_anything_is_made(
    queue: Queue, remote: RemoteJob, write: Write, case: str
) -> None:
    name, content, message = HOSTILE[case]

    with pytest.raises(InvalidData, match=message):
        queue.map("work", write(name, content), on_complete="summary")
    assert remote.jobs() == []


def test_manifest_is_not_read_into_memory() -> None:
    class Endless:
        """A file without an end."""

        def __init__(self, piece: bytes) -> None:
            self.piece, self.read_so_far = piece, 0

        def read(self, size: int) -> bytes:
            self.read_so_far += size
            return (self.piece * (size // len(self.piece) + 1))[:size]

    for reader in (json_lines, csv_rows):
        endless = Endless(b"1\n")
        rows = reader(endless)  # type: ignore[arg-type]
        for _ in range(1000):
            next(rows)
        assert endless.read_so_far <= 2 * 64 * 1024


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("rows.txt", InvalidData, "ends in .jsonl, .ndjson, .csv"),
        ("rows", InvalidData, "give 's3://bucket/prefix/' with the slash"),
        ("missing.csv", InvalidBody, "no such file"),
    ],
)
def test_what_is_no_manifest_is_refused(
    queue: Queue, source: str, error: type[InvalidInput], message: str
) -> None:
    with pytest.raises(error, match=message):
        queue.map("work", source)


@pytest.mark.parametrize("as_path", [Path, str])
def test_folder_of_this_machine_is_refused_with_how_to_copy_it(
    queue: Queue, remote: RemoteJob, tmp_path: Path, as_path: type[Path | str]
) -> None:
    folder = tmp_path / ("long" * 40) / "photos.2026"
    folder.mkdir(parents=True)

    with pytest.raises(InvalidBody) as refusal:
        queue.map("work", as_path(folder))

    told = str(refusal.value)
    assert f"source {str(folder)!r} is a folder on this machine" in told
    assert f"aws s3 sync {folder} s3://{remote.input_bucket}/jobs/stored/photos.2026/" in told
    assert "slash" not in told


@pytest.mark.parametrize("mark", [";", "\t"])
def test_csv_that_is_parted_by_something_else_is_refused(
    queue: Queue, write: Write, mark: str
) -> None:
    path = write("rows.csv", f"name{mark}size\ncat{mark}3\n")

    with pytest.raises(
        InvalidData, match=r"rows\.csv, line 1.* fields must be separated by commas"
    ):
        queue.map("work", str(path))


def test_csv_of_one_field_is_read(queue: Queue, write: Write) -> None:
    assert data_of(queue, write("rows.csv", "name\na;b\n")) == [{"name": "a;b"}]


def test_manifest_that_is_not_in_the_bucket_says_so(queue: Queue, remote: RemoteJob) -> None:
    with pytest.raises(FileNotFoundError, match=r"rows\.csv"):
        queue.map("work", f"s3://{remote.input_bucket}/rows.csv")
    assert remote.jobs() == []


@pytest.mark.parametrize("installation", ["memory"], indirect=True)
def test_iterator_that_breaks_off_leaves_a_batch_that_says_so(
    queue: Queue, remote: RemoteJob, worker: Simulation
) -> None:
    def items() -> Iterator[Any]:
        yield from range(700)
        yield {1, 2}

    with pytest.raises(BatchUnfinished, match=r"500 children were made.*item 700") as caught:
        queue.map("work", items(), on_complete="summary")

    batch = remote.batch(caught.value.batch_id)
    assert caught.value.made == 500
    assert batch.state is BatchState.MAKING
    assert not batch.whole
    assert batch.progress == (0, 500)
    with pytest.raises(BatchUnfinished, match="cannot be retried"):
        batch.retry()

    worker.step()
    ended = batch.refresh().counts.completed
    cancelled = batch.cancel()
    assert cancelled.state is BatchState.CANCELLED
    assert cancelled.wait(1).counts.cancelled == 500 - ended
    follower = cancelled.on_complete
    assert follower is not None
    assert follower.state is State.CANCELLED


def test_interrupted_map_names_its_batch(queue: Queue, remote: RemoteJob) -> None:
    def items() -> Iterator[Any]:
        yield from range(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        queue.map("work", items())

    (note,) = caught.value.__notes__
    assert "0 children were made" in note
    batch_id = note.split()[1]
    assert remote.batch(batch_id).state is BatchState.MAKING


@pytest.mark.parametrize("installation", ["memory"], indirect=True)
def test_batch_that_is_cancelled_while_it_is_made_gets_no_more_jobs(
    queue: Queue, remote: RemoteJob, installation: Installation
) -> None:
    seen: list[str] = []

    def items() -> Iterator[Any]:
        yield from range(600)
        # the jobs of the first page are stored: anybody may find the batch by one of them
        (one,) = remote.jobs(limit=1)
        seen.append(str(one.record.batch))
        remote.batch(seen[0]).cancel()
        yield from range(600)

    with pytest.raises(BatchUnfinished, match=r"500 children were made.*cancelled meanwhile"):
        queue.map("work", items())

    batch = remote.batch(seen[0])
    assert batch.state is BatchState.CANCELLED
    assert {job.state for job in batch.children()} == {State.CANCELLED}
    assert len(remote.jobs(limit=2000)) == 500


def test_submissions_may_have_bodies_and_times(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    batch = queue.map("work", [Submission(task="work", body=b"abc", filename="a.txt")])
    work_off(worker)

    (job,) = batch.refresh().children("completed")
    assert job.filename == "a.txt"
    assert batch.progress == (1, 1)


def test_batch_that_nobody_makes_any_more_is_given_up_after_a_week(
    queue: Queue, remote: RemoteJob, worker: Simulation, clock: FakeClock
) -> None:
    def items() -> Iterator[Any]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(BatchUnfinished, match="the disk is gone") as caught:
        queue.map("work", items(), on_complete="summary")
    batch = remote.batch(caught.value.batch_id)
    waiting = batch.on_complete
    assert waiting is not None

    clock.advance(timedelta(days=6))
    let_time_pass(worker, clock, minutes=1)
    assert waiting.refresh().state is State.WAITING

    clock.advance(timedelta(days=2))
    let_time_pass(worker, clock, minutes=1)
    assert [waiting.refresh().state] == [State.CANCELLED]
    with pytest.raises(BatchUnfinished, match="started days ago"):
        batch.wait()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_manifest_saved_on_any_system_is_read(
    queue: Queue, write: Write, encoding: str, end: str, name: str
) -> None:
    rows = ["n,t", "1,é"] if name.endswith("csv") else ['{"n": "1", "t": "é"}']
    path = write(name, "".join(f"{row}{end}" for row in rows).encode(encoding))
    batch = queue.map("work", path)
    assert [job.data for job in batch.children()] == [{"n": "1", "t": "é"}]


def test_csv_between_quotes_comes_through_byte_for_byte(queue: Queue, write: Write) -> None:
    odd = 'a\r\nb\rc\nd\t"e" \ufeff\u2028\x0b,;'
    quoted = odd.replace('"', '""')
    path = write("rows.csv", f'text,n\r\n"{quoted}",1\r\n"""""",""\r\n')
    batch = queue.map("work", path)
    assert [job.data for job in batch.children()] == [
        {"text": odd, "n": "1"},
        {"text": '""', "n": ""},
    ]


def test_csv_field_of_half_a_mebibyte_is_read_without_changing_the_process(
    queue: Queue, write: Write
) -> None:
    limit = csv.field_size_limit()
    path = write("rows.csv", f"n,text\n1,{'x' * 500_000}\n")
    (job,) = queue.map("work", path).children()
    assert len(job.data["text"]) == 500_000
    assert csv.field_size_limit() == limit


def test_csv_is_read_as_pythons_own_reader_does(queue: Queue, write: Write) -> None:
    rows = [["a", "b"], ["1", 'x"y'], [" 2 ", "x,\ny"], ["", '"'], ["\r", "\r\n"]]
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    batch = queue.map("work", write("rows.csv", file.getvalue()))
    assert [list(job.data.values()) for job in batch.children()] == rows[1:]
