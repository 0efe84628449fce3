"""Stops and starts a queue, for everybody who takes its jobs; and says whether it is stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.domain.errors import StoreUnavailable, UnreadableItem
from remotejob.domain.queue_switch import StoppedQueue, read_switch, switch_key, turned
from remotejob.ports import Installation

READ_EVERY: Final = timedelta(seconds=50)
"""How long a process that takes jobs goes by what it read: with the time that a request takes, it
obeys within a minute."""

_TRIES: Final = 5
_NOBODY_KNOWN: Final = "somebody"
"""A program that connected to no system, such as one in memory, has no name."""


def stop_of(queue: str, installation: Installation) -> StoppedQueue | None:
    """Since when a queue is stopped, and by whom; None if it is not. One read.

    An item that makes no sense stops nothing: it is counted and logged as any other.
    """
    item = installation.store.item(switch_key(queue))
    try:
        return read_switch(queue, item)
    except UnreadableItem as problem:
        installation.skipped.add(problem)
        return None


def stop(queue: str, installation: Installation) -> StoppedQueue:
    """Stop a queue; return since when it is stopped, and by whom, which may be somebody before."""
    stopped = _turn(queue, installation, stop=True)
    assert stopped is not None
    return stopped


def start(queue: str, installation: Installation) -> None:
    """Let jobs of a queue be taken again. A queue that is not stopped stays as it is."""
    _turn(queue, installation, stop=False)


def _turn(queue: str, installation: Installation, *, stop: bool) -> StoppedQueue | None:
    store, key = installation.store, switch_key(queue)
    token = installation.entropy(16).hex()
    for _ in range(_TRIES):
        item = store.item(key)
        try:
            before = read_switch(queue, item)
            known = True
        except UnreadableItem:
            before, known = None, False
        if known and (before is not None) is stop:
            return before
        put = turned(
            queue,
            item,
            stopped_ms=installation.clock.now_ms() if stop else None,
            by=installation.actor or _NOBODY_KNOWN,
            token=token,
        )
        # refused: somebody else turned it meanwhile, or our own request did, whose answer was lost
        if store.transact([put]) is None:
            return read_switch(queue, put.content)
    raise StoreUnavailable(
        f"queue {queue!r} was neither stopped nor started: others turn its switch all the time; "
        "try again"
    )
