"""`untar` reads what tar itself reads, and names everything else as what it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from remotejob import Job, RunningJob, State
from remotejob.builtin import TarGz, Untar, targz, untar
from tests.builtin.conftest import Run
from tests.builtin.test_untar import contents, packed, said

Compress = Callable[[bytes], bytes]

RANDOM = random.Random(0)
COMPRESSIONS: dict[str, Compress] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
TAR = packed([("a.txt", b"a" * 1000), ("dir/b.txt", RANDOM.randbytes(200_000))])
FILES = {"unpacked/a.txt", "unpacked/dir/b.txt"}


def warnings(job: Job) -> list[str]:
    assert job.state is State.COMPLETED, job.errors
    return [line.message for line in job.logs() if line.level == "warning"]


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_compressed_archive_is_unpacked(run: Run, how: str) -> None:
    job = run(untar, body=COMPRESSIONS[how](TAR), filename="x.tar")

    assert contents(job)["unpacked/a.txt"] == b"a" * 1000
    assert len(contents(job)["unpacked/dir/b.txt"]) == 200_000
    assert warnings(job) == []


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_compressed_files_that_were_put_together_are_one_archive(run: Run, how: str) -> None:
    compress = COMPRESSIONS[how]
    parts = [TAR[at : at + 30_000] for at in range(0, len(TAR), 30_000)]

    job = run(untar, body=b"".join(map(compress, [b"", *parts, b""])), filename="x.tar")

    assert set(contents(job)) == FILES
    assert warnings(job) == []


@pytest.mark.parametrize("how", [*COMPRESSIONS, "plain"])
def test_zeros_after_an_archive_are_padding(run: Run, how: str) -> None:
    body = COMPRESSIONS.get(how, bytes)(TAR) + bytes(100_000)

    job = run(untar, body=body, filename="x.tar")

    assert set(contents(job)) == FILES
    assert warnings(job) == []


@pytest.mark.parametrize("how", [*COMPRESSIONS, "plain"])
@pytest.mark.parametrize(
    "garbage", [b"garbage", b"\0\0\0x", b"\x1f", TAR], ids=["a", "b", "c", "tar"]
)
def test_bytes_after_an_archive_are_ignored_with_a_warning(
    run: Run, how: str, garbage: bytes
) -> None:
    body = COMPRESSIONS.get(how, bytes)(TAR) + garbage

    job = run(untar, body=body, filename="x.tar")

    assert set(contents(job)) == FILES
    assert ["follow the end of the archive" in line for line in warnings(job)] == [True]


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_second_archive_in_the_same_file_is_not_lost_in_silence(run: Run, how: str) -> None:
    compress = COMPRESSIONS[how]
    body = compress(TAR) + compress(packed([("other.txt", b"x")]))

    job = run(untar, body=body, filename="x.tar")

    assert set(contents(job)) == FILES
    assert ["a job of its own" in line for line in warnings(job)] == [True]


@pytest.mark.parametrize("how", COMPRESSIONS)
@pytest.mark.parametrize("left", [0.1, 0.5, 0.99, -1])
def test_what_is_cut_short_is_said_to_be_cut_short(run: Run, how: str, left: float) -> None:
    whole = COMPRESSIONS[how](TAR)
    body = whole[: int(len(whole) * left)] if left > 0 else whole[:-1]

    assert said(run(untar, body=body, filename="x.tar")).startswith(
        f"BadFile: the {how} file is cut short"
    )


def test_plain_archive_that_is_cut_short_is_said_to_be(run: Run) -> None:
    assert "the archive is cut short" in said(run(untar, body=TAR[:100_000], filename="x.tar"))


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_what_is_damaged_is_not_called_cut_short(run: Run, how: str) -> None:
    body = bytearray(COMPRESSIONS[how](TAR))
    body[5000:5100] = bytes(100)

    reason = said(run(untar, body=bytes(body), filename="x.tar"))

    assert reason.startswith(f"BadFile: the {how} file is damaged")
    assert "cut short" not in reason


def test_damaged_member_is_not_called_cut_short(run: Run) -> None:
    body = bytearray(TAR)
    body[512 + 1024 + 100] ^= 1  # in the header of the second member

    reason = said(run(untar, body=bytes(body), filename="x.tar"))

    assert reason.startswith("BadFile: the archive is damaged")


@pytest.mark.parametrize("how", COMPRESSIONS)
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Untar(), "max_ratio"),
        (Untar(max_bytes=1 << 20), "max_bytes"),
    ],
    ids=["ratio", "bytes"],
)
def test_bombs_are_refused_however_they_are_compressed(
    run: Run, how: str, options: Untar, named: str
) -> None:
    bomb = COMPRESSIONS[how](packed([("a", bytes(9 << 20))]))

    assert named in said(run(options.run, body=bomb, filename="x.tar"))


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_zeros_after_an_archive_count_against_its_limits(run: Run, how: str) -> None:
    bomb = COMPRESSIONS[how](packed([("a", b"x")]) + bytes(9 << 20))

    assert "max_ratio" in said(run(untar, body=bomb, filename="x.tar"))


def test_xz_file_that_asks_for_too_much_memory_is_refused(run: Run) -> None:
    filters: list[dict[str, Any]] = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    body = lzma.compress(packed([("a", b"x")]), filters=filters)

    assert "MiB to decompress" in said(run(untar, body=body, filename="x.tar"))


def zipped(*, encrypted: bool = False) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", b"x")
    plain = bytearray(made.getvalue())
    plain[6] |= encrypted
    return bytes(plain)


@pytest.mark.parametrize(
    ("body", "named", "remedy"),
    [
        (b"\x28\xb5\x2f\xfd" + RANDOM.randbytes(2000), "a zstd file", "zstd -d"),
        (lzma.compress(TAR, format=lzma.FORMAT_ALONE), "an lzma file", "xz -d"),
        (b"\x04\x22\x4d\x18" + RANDOM.randbytes(2000), "an lz4 file", "lz4 -d"),
        (b"LZIP\x01" + RANDOM.randbytes(2000), "an lzip file", "lzip -d"),
        (b"\x1f\x9d\x90" + RANDOM.randbytes(2000), "a compress (.Z) file", "gzip -d"),
        (zipped(), "a zip archive", "pack the files with tar"),
        (zipped(encrypted=True), "an encrypted zip archive", "pack the files with tar"),
        (b"7z\xbc\xaf\x27\x1c" + RANDOM.randbytes(2000), "a 7z archive", "pack the files with tar"),
        (b"Rar!\x1a\x07\x00" + RANDOM.randbytes(2000), "a rar archive", "pack the files with tar"),
        (b"Rar!\x1a\x07\x01\x00", "a rar archive", "pack the files with tar"),
        (b"%PDF-1.7\n" + bytes(900), "a PDF document", "pack the files with tar"),
        (b"just text", "not a tar archive", "pack the files with tar"),
        (b"just text" * 1000, "not a tar archive", "pack the files with tar"),
        (gzip.compress(b"just text"), "not a tar archive", "pack the files with tar"),
        (gzip.compress(zipped()), "a zip archive", "pack the files with tar"),
        (gzip.compress(gzip.compress(TAR)), "a gzip file", "compressed twice"),
        (bz2.compress(lzma.compress(TAR)), "an xz file", "compressed twice"),
        (gzip.compress(b""), "empty", "send a tar archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_tar_archive_is_named_as_what_it_is(
    run: Run, body: bytes, named: str, remedy: str
) -> None:
    reason = said(run(untar, body=body, filename="x.tar.gz"))

    assert reason.startswith("BadFile: ")
    assert named in reason
    assert remedy in reason
    assert "cut short" not in reason


@pytest.mark.parametrize("name", ["BZh91.txt", "PK\x7f", "GIF89a", "%PDF-1.7", "7z"])
def test_plain_archive_whose_first_name_looks_like_another_kind_is_unpacked(
    run: Run, name: str
) -> None:
    name = name.replace("\x7f", "!")

    job = run(untar, body=packed([(name, b"x")]), filename="x.tar")

    assert contents(job) == {f"unpacked/{name}": b"x"}


@pytest.mark.parametrize("task", ["targz", "untar"])
@pytest.mark.parametrize("where", ["loop", "loop/a", "one"])
def test_links_in_a_circle_are_refused(run: Run, task: str, where: str) -> None:
    def work(job: RunningJob) -> object:
        (job.folder() / "loop").symlink_to("loop")
        (job.folder() / "one").symlink_to("two")
        (job.folder() / "two").symlink_to("one")
        return {"targz": targz, "untar": untar}[task](job)

    assert said(run(work, data={"location": where})).startswith("BadData: ")


@pytest.mark.parametrize("key", ["archive", "into"])
def test_output_is_not_written_through_links_in_a_circle(run: Run, key: str) -> None:
    def work(job: RunningJob) -> object:
        (job.folder() / "loop").symlink_to("loop")
        (job.folder() / "x.tar").write_bytes(TAR)
        return (targz if key == "archive" else untar)(job)

    job = run(work, data={"location": "x.tar", key: "loop/made"})

    assert said(job).startswith("BadData: ")


def test_links_in_a_circle_in_a_folder_are_not_packed(run: Run) -> None:
    def work(job: RunningJob) -> object:
        (job.folder() / "dir").mkdir()
        (job.folder() / "dir" / "loop").symlink_to("loop")
        (job.folder() / "dir" / "up").symlink_to("../dir")
        return TarGz().run(job)

    assert "is a link" in said(run(work, data={"location": "dir"}))
