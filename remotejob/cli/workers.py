"""The `workers` command."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, System, note, out, put
from remotejob.cli.connecting import connect
from remotejob.cli.layout import Listing
from remotejob.jobs.queries.workers import WorkerStatus

app: Final = typer.Typer()


@app.command()
def workers(
    queue: Annotated[str | None, typer.Option(help="Only workers of this queue.")] = None,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """List the workers: whether they are alive, what they can run, and what they are running."""
    found = connect(system).workers(queue)
    if as_json:
        formats.to_json(out, [_as_dict(worker) for worker in found])
    elif found:
        put(_table(found))
        for worker in found:
            if worker.cannot_start is not None:
                note(f"{worker.name} cannot start: {worker.cannot_start}")
            elif worker.shortage is not None and worker.alive:
                note(f"{worker.name} takes no jobs: {worker.shortage}")
    else:
        note("no workers")


def _as_dict(worker: WorkerStatus) -> dict[str, Any]:
    return {
        "name": worker.name,
        "queue": worker.queue,
        "alive": worker.alive,
        "draining": worker.draining,
        "shortage": worker.shortage,
        "cannot_start": worker.cannot_start,
        "age_s": int(worker.age.total_seconds()),
        "abilities": list(worker.abilities),
        "concurrency": worker.concurrency,
        "version": worker.version,
        "started": worker.started_at.isoformat(),
        "seen": worker.seen_at.isoformat(),
        "running": [
            {"job": run.job_id, "task": run.task, "since": run.since.isoformat()}
            for run in worker.running
        ],
    }


def _table(found: list[WorkerStatus]) -> Listing:
    rows = Listing("worker", "queue", "alive", "seen", "running", "can do")
    for worker in found:
        rows.add_row(
            worker.name,
            worker.queue,
            _liveness(worker),
            f"{worker.seen_at:%Y-%m-%d %H:%M:%S} ({int(worker.age.total_seconds())} s ago)",
            f"{len(worker.running)} of {worker.concurrency}",
            ", ".join(worker.abilities),
        )
    return rows


def _liveness(worker: WorkerStatus) -> str:
    if worker.draining and worker.alive:
        return "draining"
    if worker.shortage is not None and worker.alive:
        return "takes none"
    if worker.cannot_start is not None:
        return "cannot start"
    return {True: "yes", False: "no", None: "idle"}[worker.alive]
