"""Decompresses gzip, bzip2 and xz files as streams, for `untar`.

Not the standard library's file objects: they set no limit on the memory that an xz file asks for,
and treat bytes after the compressed data each in their own way.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from remotejob.builtin.fields import shown
from remotejob.builtin.refusals import BadFile

_PIECE: Final = 1 << 16
_XZ_MEMORY: Final = 128 << 20
"""Bytes. `xz -9`, its largest preset, needs 65 MiB to decompress."""


class _Decompressor(Protocol):
    """The standard library's decompressors, as bz2 and lzma have them."""

    def decompress(self, data: bytes, max_length: int) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class _Gzip:
    """zlib's decompressor, which keeps no input of its own, in the form of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(out) < max_length
        return out

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


@dataclass(frozen=True, kw_only=True, slots=True)
class Compression:
    """A way of compressing that is read here."""

    name: str
    magic: bytes
    new: Callable[[], _Decompressor]


COMPRESSIONS: Final = (
    Compression(name="gzip", magic=b"\x1f\x8b", new=_Gzip),
    Compression(name="bzip2", magic=b"BZh", new=bz2.BZ2Decompressor),
    Compression(
        name="xz",
        magic=b"\xfd7zXZ\0",
        new=lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
    ),
)


def compression_of(start: bytes) -> Compression | None:
    """How a file that begins with these bytes is compressed; None if it is not."""
    return next((one for one in COMPRESSIONS if start.startswith(one.magic)), None)


class Decompressed:
    """The decompressed bytes of a file.

    As gzip, bzip2 and xz do, it reads compressed files that were put together as one, and stops at
    padding of zeros and at bytes that are not compressed; `more` then says that there are some.
    """

    def __init__(
        self, source: BinaryIO, compression: Compression, *, check: Callable[[], None]
    ) -> None:
        self._source: Final = source
        self._compression: Final = compression
        self._check: Final = check
        self._stream: _Decompressor | None = None
        self._waiting = b""
        """Bytes read from the file and not yet passed on."""
        self.more = False
        """Whether other bytes follow."""

    def read(self, size: int) -> bytes:
        """Read 1 to `size` bytes; none at the end.

        Raises: BadFile, when they are damaged or cut short.
        """
        while size > 0:
            stream = self._stream or self._next()
            if stream is None:
                return b""
            self._stream = stream
            if stream.needs_input and not self._waiting:
                self._waiting = self._source.read(_PIECE)
                if not self._waiting:
                    raise BadFile(f"the {self._compression.name} file is cut short: send it again")
            data, self._waiting = self._waiting, b""
            out = self._decompressed(stream, data, size)
            if stream.eof:
                self._stream, self._waiting = None, stream.unused_data
            if out:
                return out
        return b""

    def _next(self) -> _Decompressor | None:
        """The next stream of the file; None at the end."""
        self._check()
        magic = self._compression.magic
        self._waiting = self._waiting.lstrip(b"\0")
        while len(self._waiting) < len(magic) and (piece := self._source.read(_PIECE)):
            self._waiting = (self._waiting + piece).lstrip(b"\0")
        if self._waiting.startswith(magic):
            return self._compression.new()
        self.more = bool(self._waiting)
        return None

    def _decompressed(self, stream: _Decompressor, data: bytes, size: int) -> bytes:
        try:
            return stream.decompress(data, size)
        except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as problem:
            said = shown(str(problem))
            if "Memory usage limit" in said:
                raise BadFile(
                    f"the xz file needs more than {_XZ_MEMORY >> 20} MiB to decompress: compress "
                    "it with a preset of xz, up to -9"
                ) from None
            raise BadFile(
                f"the {self._compression.name} file is damaged: {said}; send it again"
            ) from None
