"""`untar` and `targz`: archives that are well, and archives that were made to do harm."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remotejob import InvalidData, Job, RunningJob, State
from remotejob.builtin import BadFile, TarGz, Untar, targz, untar
from tests.builtin.conftest import Run

Members = list[tuple[str, bytes]]


def packed(members: Members, *, form: int = tarfile.PAX_FORMAT) -> bytes:
    return archive([(tarfile.TarInfo(name), content) for name, content in members], form=form)


def archive(
    members: list[tuple[tarfile.TarInfo, bytes]], *, form: int = tarfile.PAX_FORMAT
) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as made:
        for info, content in members:
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def special(name: str, kind: bytes, *, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def said(job: Job) -> str:
    assert job.state is State.FAILED
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


def contents(job: Job) -> dict[str, bytes]:
    return {name: output.open().read() for name, output in job.outputs.items()}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("zipped", ["gzip", "plain"])
def test_files_of_an_archive_are_the_outputs(run: Run, form: int, zipped: str) -> None:
    members = [("./a.txt", b"a" * 1000), ("dir/b.txt", b""), ("d" * 90 + "/" + "n" * 99, b"long")]
    made = packed(members, form=form)

    job = run(untar, body=gzip.compress(made) if zipped == "gzip" else made, filename="x.tar")

    assert contents(job) == {
        "unpacked/a.txt": b"a" * 1000,
        "unpacked/dir/b.txt": b"",
        f"unpacked/{'d' * 90}/{'n' * 99}": b"long",
    }
    assert job.result == {"location": list(job.outputs)}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_longer_than_a_header_are_read(run: Run, form: int) -> None:
    name = "ü" * 60 + "/" + "n" * 110

    job = run(untar, body=packed([(name, b"x")], form=form), filename="x.tar")

    assert contents(job) == {f"unpacked/{name}": b"x"}


def test_folders_are_made(run: Run) -> None:
    folder, _ = special("empty/", tarfile.DIRTYPE)
    found: list[bool] = []

    def work(job: RunningJob) -> object:
        returned = untar(job)
        found.append((job.folder() / "unpacked/empty").is_dir())
        return returned

    run(work, body=archive([special("./", tarfile.DIRTYPE), (folder, b"")]), filename="x.tar")

    assert found == [True]


@pytest.mark.parametrize(
    "member",
    [
        special("link", tarfile.SYMTYPE, target="/etc/passwd"),
        special("link", tarfile.SYMTYPE, target="inside.txt"),
        special("link", tarfile.LNKTYPE, target="../secret"),
        special("link", tarfile.SYMTYPE, target="x" * 200),
        special("device", tarfile.CHRTYPE),
        special("device", tarfile.BLKTYPE),
        special("pipe", tarfile.FIFOTYPE),
        special("sparse", tarfile.GNUTYPE_SPARSE),
        special("unknown", b"Z"),
        special("/etc/passwd", tarfile.REGTYPE),
        special("//etc/passwd", tarfile.REGTYPE),
        special("../out", tarfile.REGTYPE),
        special("a/../../out", tarfile.REGTYPE),
        special("a/..", tarfile.DIRTYPE),
        special("a\\..\\out", tarfile.REGTYPE),
        special("C:\\out", tarfile.REGTYPE),
        special("C:out", tarfile.REGTYPE),
        special("a/CON", tarfile.REGTYPE),
        special("trailing. ", tarfile.REGTYPE),
        special("a//b", tarfile.REGTYPE),
        special("new\nline", tarfile.REGTYPE),
        special("n" * 256, tarfile.REGTYPE),
        special("/".join("d" * 21), tarfile.REGTYPE),
        special(".", tarfile.REGTYPE),
    ],
    ids=lambda member: f"{member[0].type!r} {member[0].name[:20]!r}",
)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_that_could_do_harm_are_refused_and_nothing_is_kept(
    run: Run, member: tuple[tarfile.TarInfo, bytes], form: int
) -> None:
    left: list[list[str]] = []

    def work(job: RunningJob) -> object:
        try:
            return untar(job)
        finally:
            left.append(os.listdir(job.folder()))  # noqa: PTH208 (names are wanted)

    made = archive([(tarfile.TarInfo("first.txt"), b"1"), member], form=form)

    job = run(work, body=made, filename="x.tar")

    assert said(job).startswith("BadFile: ")
    assert left == [["x.tar"]]
    assert not job.outputs


@pytest.mark.parametrize(
    "names",
    [["a", "a"], ["a", "./a"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"]],
    ids=str,
)
def test_name_that_comes_twice_is_refused(run: Run, names: list[str]) -> None:
    job = run(untar, body=packed([(name, b"x") for name in names]), filename="x.tar")

    assert "twice" in said(job)


@pytest.mark.parametrize(
    ("options", "body", "named"),
    [
        (Untar(max_members=2), packed([(f"{n}", b"") for n in range(3)]), "max_members"),
        (Untar(max_bytes=5000), packed([("a", b"x" * 5000)]), "max_bytes"),
        (Untar(max_depth=2), packed([("a/b/c", b"")]), "max_depth"),
        (Untar(), gzip.compress(packed([("a", bytes(9 << 20))])), "max_ratio"),
    ],
    ids=["members", "bytes", "depth", "ratio"],
)
def test_limits_name_what_the_operator_can_set(
    run: Run, options: Untar, body: bytes, named: str
) -> None:
    assert named in said(run(options.run, body=body, filename="x.tar"))


def test_size_that_is_only_promised_costs_nothing(run: Run) -> None:
    info = tarfile.TarInfo("a")
    info.size = 1 << 60
    header = info.tobuf(tarfile.GNU_FORMAT)

    assert "cut short" in said(run(untar, body=header + b"x" * 512, filename="x.tar"))


def _pax(records: bytes, *, kind: bytes = b"x", size: int | None = None) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = kind, len(records) if size is None else size
    padding = bytes(-len(records) % 512)
    return info.tobuf(tarfile.GNU_FORMAT) + records + padding + packed([("a", b"x")])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no archive at all, but some text" * 100,
        packed([("a", b"x" * 2000)])[:1500],
        packed([("a", b"x")])[:1024],
        gzip.compress(packed([("a", b"x")]), mtime=0)[:-12],
        gzip.compress(packed([("a", b"x")]), mtime=0)[:-8] + bytes(8),
        b"\x1f\x8b" + b"x" * 100,
        _pax(b"99999999999 path=x\n"),
        _pax(b"0 path=x\n"),
        _pax(b"-1 path=x\n"),
        _pax(b"nonsense"),
        _pax(b"10 path=/x\n"),
        _pax(b"13 path=../x\n"),
        _pax(b"11 size=-1\n"),
        _pax(b"11 path=xx\n", kind=b"g"),
        _pax(b"22 GNU.sparse.major=1\n"),
        _pax(b"9 path=\xff\n"),
        _pax(b"%d comment=%s\n" % (70_000, b"x" * 69_985)),
        packed([("a", b"x")]).replace(b"0000644", b"0000645", 1),
        _pax(b"", size=1 << 40),
        _pax(b"../out\0", kind=b"L"),
    ],
)
def test_damaged_archives_are_refused(run: Run, body: bytes) -> None:
    def work(job: RunningJob) -> object:
        (job.folder() / "x.tar").write_bytes(body)
        return untar(job)

    assert said(run(work, data={"location": "x.tar"})).startswith("BadFile: ")


@pytest.mark.parametrize("into", ["../out", "/tmp/out", "", "a/../b", "x.tar", 7])
def test_folder_to_unpack_into_is_a_new_one_inside(run: Run, into: object) -> None:
    job = run(untar, body=packed([("a", b"x")]), filename="x.tar", data={"into": into})

    # the input is brought to the folder first, so that its name is taken
    assert said(job).startswith("BadData: ")


def _write(job: RunningJob, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = job.folder() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


FILES = {"b.txt": b"b", "dir/a.txt": b"a" * 100_000, "dir/sub/c.txt": b""}


@pytest.fixture
def pack(run: Run) -> Callable[[dict[str, Any]], Job]:
    def pack(data: dict[str, Any]) -> Job:
        def work(job: RunningJob) -> object:
            _write(job, FILES)
            return targz(job)

        return run(work, data=data)

    return pack


def test_packed_files_and_folders_are_unpacked_as_they_were(
    pack: Callable[[dict[str, Any]], Job],
) -> None:
    job = pack({"location": ["dir", "b.txt", "dir/a.txt"], "archive": "my/files.tar.gz"})

    assert job.result == {"location": "my/files.tar.gz"}
    with tarfile.open(fileobj=job.outputs["my/files.tar.gz"].open(), mode="r|gz") as made:
        found = {}
        for member in made:
            file = made.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    assert found == FILES
    assert list(found) == sorted(FILES)


def test_same_files_make_the_same_archive(run: Run, tasks: Any) -> None:
    made: list[bytes] = []

    def work(job: RunningJob) -> None:
        for number, time in enumerate((1_000_000_000, 2_000_000_000)):
            for name in sorted(FILES, reverse=bool(number)):
                _write(job, {f"{number}/{name}": FILES[name]})
                os.utime(job.folder() / f"{number}/{name}", (time, time))
        for number in range(2):
            (job.folder() / f"{number}").rename(job.folder() / "in")
            targz(_Renamed(job, {"location": "in", "archive": f"{number}.tar.gz"}))
            made.append((job.folder() / f"{number}.tar.gz").read_bytes())
            (job.folder() / "in").rename(job.folder() / f"done-{number}")

    job = run(work)

    assert job.state is State.COMPLETED, job.errors
    assert made[0] == made[1]
    assert made[0][4:8] == bytes(4)  # gzip's own time, in seconds: the two may share one


class _Renamed(RunningJob):
    """The job with data of its own for each call."""

    def __init__(self, job: RunningJob, data: dict[str, Any]) -> None:
        super().__init__(job._run)
        self._data = data

    @property
    def data(self) -> dict[str, Any]:
        return self._data


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"location": []},
        {"location": "../x"},
        {"location": "/etc/passwd"},
        {"location": "missing"},
        {"location": 7},
        {"location": "b.txt", "archive": "../out.tar.gz"},
        {"location": "b.txt", "archive": "b.txt"},
        {"location": "b.txt", "archive": ""},
    ],
    ids=str,
)
def test_data_that_names_no_files_inside_is_refused(
    pack: Callable[[dict[str, Any]], Job], data: dict[str, Any]
) -> None:
    assert said(pack(data)).split(":")[0] in ("BadData", "BadFile")


@pytest.mark.parametrize("location", ["dir", "dir/link", "out/passwd"])
def test_links_are_not_packed(run: Run, location: str) -> None:
    def work(job: RunningJob) -> object:
        _write(job, FILES)
        (job.folder() / "dir/link").symlink_to("a.txt")
        (job.folder() / "out").symlink_to("/etc")
        return targz(job)

    job = run(work, data={"location": location})

    assert said(job).split(":")[0] in ("BadData", "BadFile")


@pytest.mark.parametrize("options", [TarGz(max_files=2), TarGz(max_bytes=100_000)])
def test_packing_too_much_is_refused(run: Run, options: TarGz) -> None:
    def work(job: RunningJob) -> object:
        _write(job, FILES)
        with pytest.raises(BadFile, match="max_files"):
            options.run(job)
        return sorted(path.name for path in job.folder().iterdir())

    job = run(work, data={"location": ["dir", "b.txt"]})

    assert job.result == ["b.txt", "dir"]


@pytest.mark.parametrize("key", ["max_members", "max_bytes", "max_ratio", "max_depth"])
def test_limit_of_none_is_refused(key: str) -> None:
    limit: dict[str, Any] = {key: 0}
    with pytest.raises(InvalidData, match=key):
        Untar(**limit)


def test_unpacking_into_the_runs_folder_returns_its_location(run: Run, tmp_path: Path) -> None:
    job = run(untar, body=packed([("a", b"x")]), filename="x.tar", data={"into": "deep/er/"})

    assert job.result == {"location": ["deep/er/a"]}
