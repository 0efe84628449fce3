"""The space left on the disk for the files of runs: when it is short, the worker takes no jobs.

It cleans up what it may, waits for its running jobs, and gives itself up if that does not help: a
container with a full disk fails each job that it takes, and a new one has an empty disk.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from remotejob.outages import OutageLog
from remotejob.ports import Clock
from remotejob.worker.runs.process_folder import remove_of_dead

log = logging.getLogger(__name__)

_INPUTS_KEPT: Final = 100
_INPUTS_OF_ROOM: Final = 2
_LARGEST_PART: Final = 2
"""However large inputs are, no more than half of the disk must be free."""

_AFTER_A_FAILURE: Final = 10.0
"""Seconds to take no job after one ran out of space, so that another worker may have it."""

_CLEAN_EVERY: Final = 30.0
_GIVE_UP_AFTER: Final = 60.0
"""Seconds."""

_MIB: Final = 1024 * 1024
_CHECK: Final = "check the disk"


class DiskUsage(Protocol):
    """Bytes of a volume."""

    @property
    def total(self) -> int: ...
    @property
    def free(self) -> int: ...


DiskProbe = Callable[[Path], DiskUsage]
"""The usage of the volume that holds a folder. Raises: OSError."""


def usage_of(folder: Path) -> DiskUsage:
    """The volume's usage, as the system says."""
    return shutil.disk_usage(folder)


class DiskSpace:
    """Watches the volume of the temporary folder. Safe across threads."""

    def __init__(
        self,
        *,
        clock: Clock,
        min_free_percent: int,
        probe: DiskProbe = usage_of,
        clean: Callable[[], object] = remove_of_dead,
    ) -> None:
        """`min_free_percent` of the volume must be free; with 0, nothing is watched. `clean` frees
        space."""
        self._clock = clock
        self._percent = min_free_percent
        self._probe = probe
        self._clean = clean
        self._folder = Path(tempfile.gettempdir())
        self._outages = OutageLog(clock)
        self._lock = threading.Lock()
        self._inputs: deque[int] = deque(maxlen=_INPUTS_KEPT)
        self._pause_until = float("-inf")
        self._short_since: float | None = None
        self._cleaned = float("-inf")
        self._shortage: str | None = None

    @property
    def shortage(self) -> str | None:
        """Why the worker takes no jobs, in words; None while there is room."""
        return self._shortage

    def expects(self, input_bytes: int) -> None:
        """Note the size of an input: the next ones may be as large."""
        with self._lock:
            self._inputs.append(input_bytes)

    def ran_out(self) -> None:
        """Note that a run ran out of space."""
        if self._percent:
            with self._lock:
                self._pause_until = self._clock.monotonic() + _AFTER_A_FAILURE

    def look(self) -> str | None:
        """Measure the space, and clean up if it is short; return the shortage."""
        if not self._percent:
            return None
        shortage = self._measured()
        now = self._clock.monotonic()
        if shortage is not None and now - self._cleaned >= _CLEAN_EVERY:
            self._cleaned = now
            self._clean()
            shortage = self._measured()
        if shortage is None:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now
        if (shortage is None) is not (self._shortage is None):
            if shortage is not None:
                log.error("taking no jobs: %s", shortage)
            else:
                log.info("taking jobs again: the disk has room")
        self._shortage = shortage
        return shortage

    @property
    def hopeless(self) -> bool:
        """Whether the space has been short for so long that only another container helps."""
        since = self._short_since
        return since is not None and self._clock.monotonic() - since >= _GIVE_UP_AFTER

    def _measured(self) -> str | None:
        try:
            usage = self._probe(self._folder)
        except OSError as problem:
            # nothing is known of the disk: that is no reason to stop
            self._outages.failed(_CHECK, problem)
            return None
        self._outages.over(_CHECK)
        with self._lock:
            largest, pause_until = max(self._inputs, default=0), self._pause_until
        for_inputs = min(_INPUTS_OF_ROOM * largest, usage.total // _LARGEST_PART)
        limit = max(usage.total * self._percent // 100, for_inputs)
        if usage.free < limit:
            return (
                f"the disk of {self._folder} is full: {_mib(usage.free)} of {_mib(usage.total)} "
                f"are free, and a worker needs {_mib(limit)}; give workers a larger disk, write "
                "less to it, or lower min_free_disk_percent"
            )
        if self._clock.monotonic() < pause_until:
            return f"a job ran out of space on the disk of {self._folder} a moment ago"
        return None


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
