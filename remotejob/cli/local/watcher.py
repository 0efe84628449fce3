"""Notices that files of a project change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from watchfiles import Change, watch

from remotejob.cli.local.sources import Sources, is_left_out

_QUIET_MS: Final = 100
"""A burst of changes is over after so long without one."""
_LONGEST_MS: Final = 3000
"""How long a burst may go on before it is looked at all the same."""
_LOOK_AGAIN_S: Final = 1.0
_POLL_MS: Final = 1000


class Watcher:
    """Watches from the start to the end of a `with` block, on threads of its own.

    It watches the root without what is below it, and each folder that is not left out: a virtual
    environment has thousands of folders, and the system limits how many a user may watch.
    """

    def __init__(self, sources: Sources, *, say: Callable[[str], None]) -> None:
        """`say` gets a line when the system cannot watch, and the files are polled."""
        self._sources = sources
        self._say = say
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._folders_changed = threading.Event()
        self._lock = threading.Lock()
        self._polls = False
        self._threads = [
            threading.Thread(target=self._run, args=(watch_once,), name=name, daemon=True)
            for name, watch_once in (
                ("watch root", self._watch_root),
                ("watch folders", self._watch_folders),
            )
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._folders_changed.set()
        for thread in self._threads:
            # they are daemons: none of them may hold up Ctrl-C
            thread.join(_LOOK_AGAIN_S)

    def wait(self, seconds: float) -> bool:
        """Wait so long for a change; whether there was one since the last call."""
        if not self._changed.wait(seconds):
            # not cleared: there may have been one since
            return False
        self._changed.clear()
        return True

    def _run(self, watch_once: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                watch_once()
            except FileNotFoundError:
                # a folder went before it could be watched
                self._stop.wait(_LOOK_AGAIN_S)
            except Exception as problem:  # noqa: BLE001 (its own errors, and the system's limits)
                if self._begin_to_poll():
                    self._say(f"looking for changed files once a second instead: {problem}")
                else:
                    self._stop.wait(_LOOK_AGAIN_S)
            # something may have changed before the next watch begins
            self._changed.set()

    def _begin_to_poll(self) -> bool:
        """Whether this thread is the first that has to."""
        with self._lock:
            first, self._polls = not self._polls, True
        return first

    def _watch_root(self) -> None:
        for _ in self._watch(self._sources.root, stop=self._stop, recursive=False):
            # a folder that came, or was replaced, is not yet watched
            self._folders_changed.set()
            self._changed.set()

    def _watch_folders(self) -> None:
        self._folders_changed.clear()
        if self._stop.is_set():
            return
        folders = self._sources.folders()
        if not folders:
            self._folders_changed.wait()
            return
        for _ in self._watch(*folders, stop=self._folders_changed, recursive=True):
            self._changed.set()

    def _watch(self, *paths: Path, stop: threading.Event, recursive: bool) -> Iterator[object]:
        return watch(
            *paths,
            watch_filter=self._is_of_sources,
            debounce=_LONGEST_MS,
            step=_QUIET_MS,
            stop_event=stop,
            recursive=recursive,
            force_polling=True if self._polls else None,
            poll_delay_ms=_POLL_MS,
            ignore_permission_denied=True,
        )

    def _is_of_sources(self, _: Change, path: str) -> bool:
        parts = Path(path).relative_to(self._sources.root).parts
        return not any(is_left_out(part) for part in parts)
