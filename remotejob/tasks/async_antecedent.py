"""A job that the running one depends on, as an `async def` task sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from remotejob.domain.states import State
from remotejob.jobs.content.outputs import Output
from remotejob.tasks.antecedent import Antecedent
from remotejob.tasks.async_stream import AsyncStream

if TYPE_CHECKING:
    from remotejob.tasks.async_calls import AsyncCalls


class AsyncOutput:
    """A file that it made: an `Output` whose calls are awaited."""

    def __init__(self, output: Output, calls: AsyncCalls) -> None:
        self._output = output
        self._calls = calls
        self.name = output.name
        self.size = output.size
        """Bytes."""
        self.content_type = output.content_type

    async def open(self) -> AsyncStream:
        """A stream of its bytes."""
        return AsyncStream(await self._calls.make(self._output.open), self._calls)

    async def read_bytes(self) -> bytes:
        """All its bytes at once."""
        return await self._calls.make(self._output.read_bytes)

    async def read_text(self) -> str:
        """All its text, which is UTF-8."""
        return await self._calls.make(self._output.read_text)

    async def download(self, path: Path | str) -> Path:
        """Copy it to the disk. Raises: as `Output.download`."""
        return await self._calls.make(self._output.download, path)


class AsyncAntecedent:
    """A job that this one depends on: an `Antecedent` whose long calls are awaited."""

    def __init__(self, antecedent: Antecedent, calls: AsyncCalls) -> None:
        self._antecedent = antecedent
        self._calls = calls

    @property
    def id(self) -> str:
        return self._antecedent.id

    @property
    def task(self) -> str:
        return self._antecedent.task

    @property
    def queue(self) -> str:
        return self._antecedent.queue

    @property
    def state(self) -> State:
        return self._antecedent.state

    async def data(self) -> Any:
        """The data given at submit."""
        return await self._calls.make(lambda: self._antecedent.data)

    async def result(self) -> Any:
        """What its task returned. Raises: as `Antecedent.result`."""
        return await self._calls.make(lambda: self._antecedent.result)

    async def outputs(self) -> dict[str, AsyncOutput]:
        """The files that it made, by name."""
        found = await self._calls.make(lambda: self._antecedent.outputs)
        return {name: AsyncOutput(output, self._calls) for name, output in found.items()}

    def __repr__(self) -> str:
        return f"<AsyncAntecedent {self.id} {self.task} {self.state}>"
