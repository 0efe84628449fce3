"""The suite for file stores."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from remotejob.ports import Area, ObjectStore, Stored

Kind = Callable[[bytes], BinaryIO]
"""Makes a stream of bytes."""

_KEY = "conformance/file"
_LARGE = 17 * 1024 * 1024
"""Bytes: large enough for a multipart upload to S3."""


class _Pipe(io.RawIOBase):
    """A stream like a pipe or socket: not seekable and of unknown size."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: object) -> int:
        return self._content.readinto(buffer)  # type: ignore[arg-type]


class _Bounded(io.BytesIO):
    """A stream that fails if it is read all at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None, "the stream was read all at once"
        assert 0 <= size < _LARGE, "the stream was read all at once"
        return super().read(size)


class _BoundedPipe(_Pipe):
    """A pipe that fails if it is read all at once."""

    def read(self, size: int = -1, /) -> bytes:
        assert 0 <= size < _LARGE, "the stream was read all at once"
        return self._content.read(size)

    def readall(self) -> bytes:
        raise AssertionError("the stream was read all at once")


class FilesConformance:
    """Tests for an `ObjectStore`. Subclass it with a fixture `files` that is empty for each test
    and keeps versions in the input area."""

    @pytest.mark.parametrize("area", Area)
    def test_bytes_come_back(self, files: ObjectStore, area: Area) -> None:
        stored = files.put(area, _KEY, b"content")

        assert (stored.bucket, stored.key, stored.size) == (files.bucket(area), _KEY, 7)
        assert _content(files, stored) == b"content"

    @pytest.mark.parametrize("kind", [bytes, io.BytesIO, _Pipe], ids=["bytes", "stream", "pipe"])
    def test_a_file_written_once_is_not_replaced(
        self, files: ObjectStore, kind: Callable[[bytes], bytes | BinaryIO]
    ) -> None:
        stored = files.put(Area.OUTPUT, _KEY, kind(b"first"), once="a")

        with pytest.raises(FileExistsError, match=_KEY):
            files.put(Area.OUTPUT, _KEY, kind(b"second"), once="b")

        assert _content(files, stored) == b"first"
        assert files.describe(Area.OUTPUT, _KEY).metadata == {}

    @pytest.mark.parametrize("kind", [bytes, io.BytesIO, _Pipe], ids=["bytes", "stream", "pipe"])
    def test_a_write_whose_answer_was_lost_finds_its_own_file(
        self, files: ObjectStore, kind: Callable[[bytes], bytes | BinaryIO]
    ) -> None:
        stored = files.put(Area.OUTPUT, _KEY, kind(b"content"), once="a")

        again = files.put(Area.OUTPUT, _KEY, kind(b"content"), once="a")

        assert (again.key, again.size, again.etag) == (stored.key, stored.size, stored.etag)
        assert list(files.keys(Area.OUTPUT, "")) == [_KEY]

    def test_a_large_file_is_written_once(self, files: ObjectStore) -> None:
        content = bytes(_LARGE)
        stored = files.put(Area.OUTPUT, _KEY, io.BytesIO(content), once="a")

        assert files.put(Area.OUTPUT, _KEY, io.BytesIO(content), once="a").size == _LARGE
        with pytest.raises(FileExistsError):
            files.put(Area.OUTPUT, _KEY, io.BytesIO(content), once="b")
        assert _content(files, stored) == content

    def test_a_file_that_was_deleted_can_be_written_once_more(self, files: ObjectStore) -> None:
        files.put(Area.OUTPUT, _KEY, b"first", once="a")
        files.delete(Area.OUTPUT, [_KEY])

        stored = files.put(Area.OUTPUT, _KEY, b"second", once="b")

        assert _content(files, stored) == b"second"

    def test_the_two_sides_are_apart(self, files: ObjectStore) -> None:
        files.put(Area.INPUT, _KEY, b"in")

        assert files.bucket(Area.INPUT) != files.bucket(Area.OUTPUT)
        with pytest.raises(FileNotFoundError):
            files.open(files.bucket(Area.OUTPUT), _KEY)
        assert list(files.keys(Area.OUTPUT, "")) == []

    @pytest.mark.parametrize("kind", [io.BytesIO, _Pipe], ids=["seekable", "a pipe"])
    def test_a_stream_comes_back(self, files: ObjectStore, kind: Kind) -> None:
        stored = files.put(Area.INPUT, _KEY, kind(b"streamed"))

        assert stored.size == 8
        assert _content(files, stored) == b"streamed"

    def test_a_stream_is_stored_from_where_it_stands(self, files: ObjectStore) -> None:
        stream = io.BytesIO(b"header,rest")
        stream.seek(7)

        stored = files.put(Area.INPUT, _KEY, stream)

        assert stored.size == 4
        assert _content(files, stored) == b"rest"

    @pytest.mark.parametrize("kind", [io.BytesIO, _Pipe], ids=["seekable", "a pipe"])
    def test_an_empty_stream_is_an_empty_file(self, files: ObjectStore, kind: Kind) -> None:
        stored = files.put(Area.INPUT, _KEY, kind(b""))

        assert stored.size == 0
        assert _content(files, stored) == b""

    @pytest.mark.parametrize("kind", [_Bounded, _BoundedPipe], ids=["seekable", "a pipe"])
    def test_a_large_stream_is_never_read_at_once(self, files: ObjectStore, kind: Kind) -> None:
        content = bytes(range(256)) * (_LARGE // 256)

        stored = files.put(Area.INPUT, _KEY, kind(content))

        assert stored.size == _LARGE
        assert _content(files, stored) == content

    def test_large_bytes_come_back(self, files: ObjectStore) -> None:
        content = bytes(range(256)) * (_LARGE // 256)

        stored = files.put(Area.INPUT, _KEY, content)

        assert stored.size == _LARGE
        assert _content(files, stored) == content

    def test_an_etag_tells_contents_apart(self, files: ObjectStore) -> None:
        one = files.put(Area.OUTPUT, "conformance/one", b"one")
        same = files.put(Area.OUTPUT, "conformance/same", b"one")
        other = files.put(Area.OUTPUT, "conformance/other", b"two")

        assert one.etag == same.etag != other.etag
        assert '"' not in one.etag

    def test_each_version_stays_readable(self, files: ObjectStore, tmp_path: Path) -> None:
        first = files.put(Area.INPUT, _KEY, b"first")
        second = files.put(Area.INPUT, _KEY, b"second, longer")

        assert first.version is not None
        assert first.version != second.version
        assert _content(files, first) == b"first"
        assert _content(files, second) == b"second, longer"
        files.download(first.bucket, _KEY, tmp_path / "old", version=first.version)
        assert (tmp_path / "old").read_bytes() == b"first"

    def test_without_a_version_the_newest_is_read(self, files: ObjectStore) -> None:
        files.put(Area.INPUT, _KEY, b"first")
        newest = files.put(Area.INPUT, _KEY, b"second")

        with files.open(newest.bucket, _KEY) as stream:
            assert stream.read() == b"second"

    def test_a_stream_is_read_in_parts(self, files: ObjectStore) -> None:
        stored = files.put(Area.INPUT, _KEY, b"abcdef")

        with files.open(stored.bucket, _KEY) as stream:
            assert [stream.read(4), stream.read(4), stream.read(4)] == [b"abcd", b"ef", b""]

    def test_a_stream_gives_lines_within_a_block_and_without(self, files: ObjectStore) -> None:
        files.put(Area.INPUT, _KEY, b"one\ntwo\nthree")

        with files.open(files.bucket(Area.INPUT), _KEY) as stream:
            assert list(stream) == [b"one\n", b"two\n", b"three"]
        assert list(files.open(files.bucket(Area.INPUT), _KEY)) == [b"one\n", b"two\n", b"three"]

    @pytest.mark.parametrize(
        "content", [b"", b"content", bytes(_LARGE)], ids=["", "small", "large"]
    )
    @pytest.mark.parametrize("area", Area)
    def test_what_is_said_of_a_file_comes_back(
        self, files: ObjectStore, area: Area, content: bytes
    ) -> None:
        metadata = {"name": " Katze  100%41\t", "wo_es-war2": "Zürich 写真 😀", "nothing": ""}
        files.put(area, _KEY, b"older", content_type="text/plain", metadata={"name": "older"})
        stored = files.put(area, _KEY, content, content_type="image/jpeg", metadata=metadata)

        described = files.describe(area, _KEY)

        assert described.metadata == metadata
        assert described.content_type == "image/jpeg"
        assert (described.bucket, described.key) == (files.bucket(area), _KEY)
        assert (described.size, described.etag) == (len(content), stored.etag)
        assert described.version == stored.version

    def test_a_file_of_which_nothing_is_said_has_no_metadata(self, files: ObjectStore) -> None:
        files.put(Area.INPUT, _KEY, b"content")

        described = files.describe(Area.INPUT, _KEY)

        assert described.metadata == {}
        assert described.content_type == "binary/octet-stream"

    def test_describing_a_missing_file_raises(self, files: ObjectStore) -> None:
        with pytest.raises(FileNotFoundError, match="conformance/missing"):
            files.describe(Area.INPUT, "conformance/missing")

    def test_opening_a_missing_file_raises(self, files: ObjectStore) -> None:
        with pytest.raises(FileNotFoundError, match="conformance/missing"):
            files.open(files.bucket(Area.INPUT), "conformance/missing")

    def test_downloading_a_missing_file_raises_and_leaves_nothing(
        self, files: ObjectStore, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError, match="conformance/missing"):
            files.download(files.bucket(Area.INPUT), "conformance/missing", tmp_path / "file")

        assert list(tmp_path.iterdir()) == []

    def test_downloading_a_missing_file_leaves_the_file_that_was_there(
        self, files: ObjectStore, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_bytes(b"mine")

        with pytest.raises(FileNotFoundError):
            files.download(files.bucket(Area.INPUT), "conformance/missing", tmp_path / "file")

        assert (tmp_path / "file").read_bytes() == b"mine"

    def test_a_download_writes_the_file_and_nothing_else(
        self, files: ObjectStore, tmp_path: Path
    ) -> None:
        files.put(Area.OUTPUT, _KEY, b"content")
        (tmp_path / "file").write_bytes(b"older, and longer")

        files.download(files.bucket(Area.OUTPUT), _KEY, tmp_path / "file")

        assert (tmp_path / "file").read_bytes() == b"content"
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_a_download_replaces_a_link_and_does_not_follow_it(
        self, files: ObjectStore, tmp_path: Path
    ) -> None:
        files.put(Area.OUTPUT, _KEY, b"content")
        (tmp_path / "mine").write_bytes(b"mine")
        (tmp_path / "file").symlink_to(tmp_path / "mine")

        files.download(files.bucket(Area.OUTPUT), _KEY, tmp_path / "file")

        assert (tmp_path / "mine").read_bytes() == b"mine"
        assert (tmp_path / "file").read_bytes() == b"content"
        assert not (tmp_path / "file").is_symlink()

    def test_a_download_may_be_read_by_whom_other_files_may(
        self, files: ObjectStore, tmp_path: Path
    ) -> None:
        files.put(Area.OUTPUT, _KEY, b"content")
        (tmp_path / "plain").write_bytes(b"")

        files.download(files.bucket(Area.OUTPUT), _KEY, tmp_path / "file")

        assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode

    @pytest.mark.parametrize(
        "key",
        [
            "conformance/ü ñ 写真.jpg",
            "conformance/a+b c%20d?&=#.txt",
            "conformance/./../x",
            "conformance/" + "x" * 1000,
        ],
        ids=["unicode", "reserved letters", "dots", "long"],
    )
    def test_any_key_is_kept_as_it_is(self, files: ObjectStore, key: str) -> None:
        stored = files.put(Area.INPUT, key, b"content")

        assert stored.key == key
        assert _content(files, stored) == b"content"
        assert list(files.keys(Area.INPUT, "conformance/")) == [key]
        files.delete(Area.INPUT, [key])
        assert list(files.keys(Area.INPUT, "conformance/")) == []

    def test_keys_are_listed_by_prefix(self, files: ObjectStore) -> None:
        for key in ("conformance/a/1", "conformance/a/2", "conformance/ab", "other"):
            files.put(Area.OUTPUT, key, b"x")

        found = sorted(files.keys(Area.OUTPUT, "conformance/a/"))
        assert found == ["conformance/a/1", "conformance/a/2"]
        assert list(files.keys(Area.OUTPUT, "conformance/b")) == []

    def test_a_key_with_versions_is_listed_once(self, files: ObjectStore) -> None:
        files.put(Area.INPUT, _KEY, b"first")
        files.put(Area.INPUT, _KEY, b"second")

        assert list(files.keys(Area.INPUT, "conformance/")) == [_KEY]

    def test_deleted_files_are_gone_and_the_others_stay(self, files: ObjectStore) -> None:
        keys = [f"conformance/{number}" for number in range(4)]
        for key in keys:
            files.put(Area.OUTPUT, key, b"x")

        files.delete(Area.OUTPUT, iter(keys[:3]))

        assert list(files.keys(Area.OUTPUT, "conformance/")) == keys[3:]
        with pytest.raises(FileNotFoundError):
            files.open(files.bucket(Area.OUTPUT), keys[0])

    def test_a_version_outlives_a_delete_of_its_key(
        self, files: ObjectStore, tmp_path: Path
    ) -> None:
        first = files.put(Area.INPUT, _KEY, b"first")
        second = files.put(Area.INPUT, _KEY, b"second")

        files.delete(Area.INPUT, [_KEY])

        assert list(files.keys(Area.INPUT, "conformance/")) == []
        with pytest.raises(FileNotFoundError):
            files.open(first.bucket, _KEY)
        with pytest.raises(FileNotFoundError):
            files.describe(Area.INPUT, _KEY)
        assert _content(files, first) == b"first"
        files.download(second.bucket, _KEY, tmp_path / "file", version=second.version)
        assert (tmp_path / "file").read_bytes() == b"second"
        # a later upload gets a new version
        third = files.put(Area.INPUT, _KEY, b"third")
        assert third.version not in {first.version, second.version}
        assert [_content(files, one) for one in (first, third)] == [b"first", b"third"]

    def test_deleting_what_is_not_there_is_no_error(self, files: ObjectStore) -> None:
        files.put(Area.OUTPUT, _KEY, b"x")
        files.delete(Area.OUTPUT, [])
        files.delete(Area.OUTPUT, ["conformance/missing"])

        assert list(files.keys(Area.OUTPUT, "conformance/")) == [_KEY]


def _content(files: ObjectStore, stored: Stored) -> bytes:
    with files.open(stored.bucket, stored.key, version=stored.version) as stream:
        return stream.read()
