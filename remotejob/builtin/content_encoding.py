"""Decompresses the body of an HTTP response as it arrives, for `fetch`.

`fetch` asks for uncompressed bodies, but some servers compress all the same.
Source: RFC 9110, 8.4.1 Content Codings; RFC 1950 to 1952.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from remotejob.builtin.fields import shown
from remotejob.builtin.refusals import FetchFailed, FetchRefused

ALWAYS_ALLOWED: Final = 1 << 20
"""Bytes that a body may decompress to at any ratio: a short text may repeat itself a lot."""

_PIECE: Final = 1 << 16
_MOST_CODINGS: Final = 5
_GZIP: Final = "gzip"
_DEFLATE: Final = "deflate"
_GZIP_MAGIC: Final = b"\x1f\x8b"


def codings_of(headers: Sequence[str]) -> tuple[str, ...]:
    """The content codings that Content-Encoding headers name, in the order they were applied.

    Raises: FetchRefused, when one of them cannot be undone.
    """
    names = [name.strip().lower() for header in headers for name in header.split(",")]
    codings = tuple(name.removeprefix("x-") for name in names if name not in ("", "identity"))
    for coding in codings:
        if coding not in (_GZIP, _DEFLATE):
            raise FetchRefused(
                f"the server compressed the file with {shown(coding)}, unasked; only gzip and "
                "deflate can be decompressed here: fetch it from another address, or have the "
                "server obey `Accept-Encoding: identity`"
            )
    if len(codings) > _MOST_CODINGS:
        raise FetchRefused(f"the server compressed the file more than {_MOST_CODINGS} times over")
    return codings


class Decompressed:
    """A body's bytes with its codings undone. Without codings, they pass as they are."""

    def __init__(self, codings: Sequence[str], *, max_ratio: int) -> None:
        self._stages: Final = [_Stage(coding) for coding in reversed(codings)]
        self._max_ratio: Final = max_ratio
        self._received = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what can be decompressed now, in pieces of limited size.

        Raises: FetchRefused, when there is more than `max_ratio` bytes for each one received;
        FetchFailed, when the data is damaged.
        """
        self._received += len(data)
        yield from self._through(self._stages, data)

    def finish(self) -> None:
        """Raises: FetchFailed, when the data is cut short."""
        for stage in self._stages:
            stage.finish()

    def _through(self, stages: Sequence[_Stage], data: bytes) -> Iterator[bytes]:
        if not stages:
            yield data
            return
        for piece in stages[0].feed(data):
            # each stage, or the first could feed the second for ever without a byte coming out
            if stages[0].size > max(ALWAYS_ALLOWED, self._received * self._max_ratio):
                raise FetchRefused(
                    f"the file decompresses to more than {self._max_ratio} times its size; "
                    "the operator can allow more with Fetch(max_ratio=...)"
                )
            yield from self._through(stages[1:], piece)


class _Stage:
    """Undoes one coding."""

    def __init__(self, coding: str) -> None:
        self._coding: Final = coding
        self._stream: zlib._Decompress | None = None
        self._held = b""
        """Too little to tell what begins with it."""
        self._members = 0
        self._ended = False
        self.size = 0
        """Bytes that came out."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        data, self._held = self._held + data, b""
        more = True
        while (data or more) and not self._ended:
            if self._stream is None:
                self._begin(data)
            if self._stream is None:
                return
            try:
                piece = self._stream.decompress(data, _PIECE)
            except zlib.error as problem:
                raise FetchFailed(f"the {self._coding} body is damaged: {problem}") from None
            # at the limit, more may come out without any more going in
            more, data = len(piece) == _PIECE, self._stream.unconsumed_tail
            if self._stream.eof:
                more, data, self._stream = True, self._stream.unused_data, None
                self._members += 1
            if piece:
                self.size += len(piece)
                yield piece

    def _begin(self, data: bytes) -> None:
        """Open a stream, unless there is too little of it or none is left."""
        if self._members and not self._may_be_another_member(data):
            self._ended = True  # as in browsers, anything after the end does not count
        elif len(data) < 2:
            self._held = data
        else:
            self._stream = zlib.decompressobj(self._window(data))

    def _may_be_another_member(self, data: bytes) -> bool:
        return self._coding == _GZIP and _GZIP_MAGIC.startswith(data[:2])

    def _window(self, data: bytes) -> int:
        if self._coding == _GZIP:
            return 16 + zlib.MAX_WBITS
        # deflate means the zlib format, but some servers send it without zlib's header
        with_header = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
        return zlib.MAX_WBITS if with_header else -zlib.MAX_WBITS

    def finish(self) -> None:
        if self._stream is not None or (self._held and not self._members):
            raise FetchFailed(f"the {self._coding} body is cut short")
