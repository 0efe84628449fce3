"""A file that an `async def` task reads."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from remotejob.domain.argument_checks import check_whole

if TYPE_CHECKING:
    from remotejob.tasks.async_calls import AsyncCalls

_CHUNK: Final = 1024 * 1024


class AsyncStream:
    """A file, read without blocking the loop; close it, or use it in `async with`."""

    def __init__(self, stream: BinaryIO, calls: AsyncCalls) -> None:
        self._stream = stream
        self._calls = calls

    async def read(self, size: int = -1) -> bytes:
        """That many bytes, fewer only at the end; without a size, all the rest."""
        whole = check_whole("size", size, least=-1, most=sys.maxsize)
        return await self._calls.make(self._stream.read, whole)

    async def close(self) -> None:
        await self._calls.make(self._stream.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks of 1 MiB at most."""
        while chunk := await self.read(_CHUNK):
            yield chunk
