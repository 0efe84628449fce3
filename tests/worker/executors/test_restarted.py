"""A job that is cancelled and restarted: the cancelled run is dead before another begins."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from remotejob import Queue
from remotejob.testing import FakeClock, Simulation
from tests.worker.executors.scenes import going_on, lives, told, until_gone


def test_a_cancelled_run_is_killed_before_its_lease_ends_whatever_its_grace(
    queue: Queue, worker: Simulation, clock: FakeClock, tmp_path: Path
) -> None:
    file = tmp_path / "told"
    job = queue.submit("patient", data={"do": "ignore", "told": str(file)})
    with going_on(worker):
        pids = told(file)
        job.cancel()
        clock.advance(worker.installation.lease - timedelta(seconds=0.4))
        worker.beat()
        until_gone(pids)
    assert not lives(pids[0])
