"""The commands that stop and start queues."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, System, out, say
from remotejob.cli.connecting import connect_to_change
from remotejob.client.remote_job import Queue, RemoteJob
from remotejob.domain.errors import InvalidData
from remotejob.domain.queue_switch import StoppedQueue

app: Final = typer.Typer()

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[QUEUE]...", help="Names of the queues.")
]


@app.command()
def stop(
    queues: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Stop all queues.")] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Let nobody take jobs of queues until you start them. Running jobs go on."""
    stopped = [queue.stop() for queue in _chosen("stop", queues, system, every=every)]
    if as_json:
        formats.to_json(out, [_as_dict(one) for one in stopped])
        return
    for one in stopped:
        say(f"stopped {one.queue}, since {one.since:%Y-%m-%d %H:%M:%S} UTC by {one.by}")


@app.command()
def start(
    queues: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Start all queues.")] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Let jobs of stopped queues be taken again, within a minute."""
    chosen = _chosen("start", queues, system, every=every)
    for queue in chosen:
        queue.start()
    if as_json:
        formats.to_json(out, [queue.name for queue in chosen])
        return
    for queue in chosen:
        say(f"started {queue.name}")


def _chosen(
    command: str, names: list[str] | None, system: str | None, *, every: bool
) -> list[Queue]:
    """All that are named exist, before any is changed. Raises: InvalidData; UnknownQueue."""
    if bool(names) is every:
        raise InvalidData(f"{command}: give either names of queues or --all")
    connected: RemoteJob = connect_to_change(system)
    return [connected.queue(name) for name in dict.fromkeys(names or connected.queues)]


def _as_dict(stopped: StoppedQueue) -> dict[str, str]:
    return {"queue": stopped.queue, "since": stopped.since.isoformat(), "by": stopped.by}
