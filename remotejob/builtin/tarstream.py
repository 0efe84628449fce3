"""Reads a possibly hostile tar archive as a stream, for `untar`.

Not `tarfile`: crafted archives led its parser into endless loops, quadratic time and paths outside
the folder (CVE-2024-6232, CVE-2025-8194, CVE-2025-4517), and its filters depend on the Python
version. This reads files and folders, and refuses everything else.
Source: POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from remotejob.builtin.fields import shown
from remotejob.builtin.file_kinds import kind_of_start
from remotejob.builtin.refusals import BadFile

BLOCK: Final = 512
_LONGEST_EXTENSION: Final = 1 << 16
"""Bytes of an extended header, which pax and GNU tar put before a member."""

_FILE: Final = (b"0", b"\0", b"7")
_FOLDER: Final = b"5"
_PAX: Final = b"x"
_PAX_FOR_ALL: Final = b"g"
_GNU_LONG_NAME: Final = b"L"
_OTHERS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"K": "a link with a long target",
    b"S": "a sparse file",
}
_REMEDIES: Final = {
    "a zstd file": "decompress it first, with zstd -d",
    "an lzma file": "decompress it first, with xz -d",
    "an lzip file": "decompress it first, with lzip -d",
    "an lz4 file": "decompress it first, with lz4 -d",
    "a compress (.Z) file": "decompress it first, with gzip -d",
    "a gzip file": "it is compressed twice, so decompress it once, with gzip -d",
    "a bzip2 file": "it is compressed twice, so decompress it once, with bzip2 -d",
    "an xz file": "it is compressed twice, so decompress it once, with xz -d",
}
"""What to do with other files, by their kind."""
_PAX_UNDERSTOOD: Final = ("path", "size")
_PAX_REFUSED: Final = ("linkpath", "GNU.sparse.", "hdrcharset")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file or folder, with its name in the archive."""

    name: str
    size: int
    is_folder: bool


class Source(Protocol):
    """What an archive is read from: a file, or a compressed one."""

    def read(self, size: int, /) -> bytes: ...


class Stream:
    """An archive's decompressed bytes, up to a limit."""

    def __init__(self, source: Source, *, most: int, remedy: str) -> None:
        self._source: Final = source
        self._left = most
        self._remedy: Final = remedy

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes.

        Raises: BadFile, when there are fewer, or the limit is exceeded.
        """
        data = self.read_some(size)
        while len(data) < size:
            more = self.read_some(size - len(data))
            if not more:
                raise BadFile("the archive is cut short: send it again")
            data += more
        return data

    def read_some(self, size: int) -> bytes:
        """Read up to `size` bytes; none only at the end."""
        data = self._source.read(min(size, self._left + 1))
        if len(data) > self._left:
            raise BadFile(f"the archive holds more than allowed: {self._remedy}")
        self._left -= len(data)
        return data


def members(stream: Stream) -> Iterator[Member]:
    """Yield the members; read each one's content and padding before asking for the next.

    Raises: BadFile, for anything except files and folders.
    """
    said: dict[str, str] = {}
    header = _first(stream)
    while any(header):
        kind, size = header[156:157], _number(header[124:136])
        if kind in (_PAX, _PAX_FOR_ALL, _GNU_LONG_NAME):
            said |= _extension(stream, kind, size)
            header = _next(stream)
            continue
        name = said.get("path") or _name(header)
        if kind != _FOLDER and kind not in _FILE:
            what = _OTHERS.get(kind, f"of type {shown(kind.decode('latin-1'))}")
            raise BadFile(f"{shown(name)} is {what}: only files and folders are unpacked")
        if "size" in said:
            size = _decimal(said["size"])
        # before POSIX, a folder was a file whose name ends in a slash
        is_folder = kind == _FOLDER or name.endswith("/")
        if is_folder and size:
            raise BadFile(f"{shown(name)} is a folder with content")
        yield Member(name=name, size=size, is_folder=is_folder)
        said, header = {}, _next(stream)


def _first(stream: Stream) -> bytes:
    """The first header. Raises: BadFile, which says what the file is instead of an archive."""
    header = b""
    while len(header) < BLOCK and (more := stream.read_some(BLOCK - len(header))):
        header += more
    if is_header(header):
        return header
    kind = kind_of_start(header)
    if kind == "empty":
        raise BadFile("the archive is empty: send a tar archive")
    what = "not a tar archive" if kind is None else f"{kind}, not a tar archive"
    raise BadFile(
        f"this is {what}: untar reads tar archives, plain or compressed with gzip, bzip2 or xz; "
        f"{_REMEDIES.get(kind or '', 'pack the files with tar')}"
    )


def _next(stream: Stream) -> bytes:
    header = stream.read(BLOCK)
    if not is_header(header):
        raise BadFile("the archive is damaged: send it again")
    return header


def is_header(block: bytes) -> bool:
    """Whether a tar archive may begin with this block."""
    if len(block) != BLOCK:
        return False
    if not any(block):
        return True
    # the sum counts its own field as spaces
    expected = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    try:
        return _number(block[148:156]) == expected
    except BadFile:
        return False


def _extension(stream: Stream, kind: bytes, size: int) -> dict[str, str]:
    """The fields that an extended header sets for the next member."""
    if size > _LONGEST_EXTENSION:
        raise BadFile(
            f"the archive has an extended header of {size} bytes, more than {_LONGEST_EXTENSION}"
        )
    content = stream.read(padded(size))[:size]
    if kind == _GNU_LONG_NAME:
        return {"path": _text(_until_nul(content))}
    said = _pax(content)
    if said and kind == _PAX_FOR_ALL:
        raise BadFile("the archive gives all its members the same name or size")
    return said


def padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _number(digits: bytes) -> int:
    """A number in octal, or in base 256 if the first bit is set."""
    if digits[0] == 0x80:
        return int.from_bytes(digits[1:])
    text = digits.strip(b" \0")
    if not text:
        return 0
    if not all(digit in b"01234567" for digit in text):
        raise BadFile("the archive is damaged: it has a number that is none")
    return int(text, 8)


def _name(header: bytes) -> str:
    name = _until_nul(header[:100])
    if header[257:263] == b"ustar\0":
        prefix = _until_nul(header[345:500])
        if prefix:
            name = prefix + b"/" + name
    return _text(name)


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadFile(f"the name {shown(name.decode('latin-1'))} is not UTF-8") from None


def _pax(content: bytes) -> dict[str, str]:
    """Parse records of the form `LENGTH KEY=VALUE\\n`, keeping the keys we understand."""
    said: dict[str, str] = {}
    while content:
        length, space, _ = content[:12].partition(b" ")
        if not space or not length.isdigit():
            raise BadFile("the archive has a damaged extended header")
        record, content = content[: int(length)], content[int(length) :]
        key, equals, value = record[len(length) + 1 :].partition(b"=")
        if len(record) != int(length) or not equals or not value.endswith(b"\n"):
            raise BadFile("the archive has a damaged extended header")
        name = _text(key)
        if name.startswith(_PAX_REFUSED):
            raise BadFile(f"the archive uses {shown(name)}: only plain files are unpacked")
        if name in _PAX_UNDERSTOOD:
            said[name] = _text(value[:-1])
    return said


def _decimal(digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 20):
        raise BadFile(f"the size {shown(digits)} is not a number")
    return int(digits)
