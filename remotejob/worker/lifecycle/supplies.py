"""What a worker must have to take jobs: room on its disk, some of its queue's daily budget, and a
queue that nobody has stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from remotejob.jobs.queries.workers import BUDGET, DISK, STOPPED
from remotejob.worker.background import BackgroundThreads
from remotejob.worker.lifecycle.daily_budget import BudgetWatch
from remotejob.worker.lifecycle.disk_space import DiskSpace
from remotejob.worker.lifecycle.polling import Polling
from remotejob.worker.lifecycle.presence import Presence
from remotejob.worker.lifecycle.stopped_queue import SwitchWatch
from remotejob.worker.runs.in_flight import InFlight

log = logging.getLogger(__name__)


class Supplies:
    """Pauses the lanes of one worker while something is short. Safe across threads."""

    def __init__(
        self,
        *,
        disk: DiskSpace,
        budget: BudgetWatch,
        switch: SwitchWatch,
        polling: Polling,
        presence: Presence,
        runs: InFlight,
        background: BackgroundThreads,
        give_back: Callable[[], None],
        give_up: Callable[[str], None],
    ) -> None:
        """`give_back` returns the messages that have not begun, without waiting for it. `give_up`
        is called with the reason when the disk stays full though no job runs."""
        self._disk = disk
        self._budget = budget
        self._switch = switch
        self._polling = polling
        self._presence = presence
        self._runs = runs
        self._background = background
        self._give_back = give_back
        self._give_up = give_up
        self._checking = threading.Lock()
        self._said_short: set[str] = set()

    @property
    def short(self) -> bool:
        """Whether the worker takes no jobs."""
        return bool(self._said_short)

    def ran_out_of_space(self) -> None:
        """A job found no space."""
        # at once: this thread would take the next job, and that would find no space either
        self._disk.ran_out()
        self.check()

    def run_began(self) -> None:
        """A run began, which costs some of the budget."""
        self._budget.began()
        if self._budget.shortage is not None:
            # at once, as above: a lane would go on receiving what has to wait
            try:
                self.check()
            except Exception:
                # the run has begun, and must not be dropped; the watchdog checks again
                log.exception("supplies not checked")

    def check(self) -> None:
        """Take no jobs while the disk is full, the budget spent or the queue stopped; give up if
        the disk stays full though no job runs."""
        self._budget.share_if_due(self._background.start)
        self._switch.read_if_due(self._background.start)
        with self._checking:
            shortage = self._disk.look()
            self._go_short(DISK, shortage)
            self._go_short(BUDGET, self._budget.look())
            self._go_short(STOPPED, self._switch.shortage)
        running = any(not run.ended for run in self._runs.running())
        if shortage is not None and not running and self._disk.hopeless:
            self._give_up(shortage)

    def _go_short(self, of: str, shortage: str | None) -> None:
        # not each time its figures change: every sign is a write
        if (shortage is None) is (of not in self._said_short):
            return
        self._said_short ^= {of}
        self._presence.say_short(of, shortage)
        if shortage is None:
            self._polling.resume()
        else:
            self._polling.pause()
            self._give_back()
