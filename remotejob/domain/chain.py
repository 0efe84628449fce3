"""Chains of jobs: how many jobs led to this one, each making the next.

A job that a person or another program submits has depth 0. What a job makes, by `submit` or by a
file that becomes a job, is one deeper than the job. Beyond `max_depth` a job may make nothing, so a
task that feeds itself ends. Repeats are not deeper than the job that they repeat.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from remotejob.domain.errors import ChainTooLong
from remotejob.names import MAX_DEPTH

DEPTH_METADATA: Final = "remotejob-depth"
"""Metadata of an object in the input bucket: the depth of the job that it becomes."""

_DIGITS: Final = 9


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Link:
    """A job that runs here, as the end of its chain so far."""

    depth: Callable[[], int]
    """Looked up when something asks for it: that may take a request."""
    bucket: str
    """The bucket whose files become jobs."""
    max_depth: int = MAX_DEPTH


_current: Final[ContextVar[Link | None]] = ContextVar("remotejob_link", default=None)
_running: Final[set[Link]] = set()
_lock: Final = threading.Lock()


@contextmanager
def within(link: Link) -> Iterator[None]:
    """What this thread or coroutine makes inside is one deeper than the link."""
    token = _current.set(link)
    with _lock:
        _running.add(link)
    try:
        yield
    finally:
        with _lock:
            _running.discard(link)
        _current.reset(token)


def next_depth() -> int:
    """The depth of what is made here and now; 0 outside of a job.

    Raises: ChainTooLong.
    """
    link = _current.get()
    return 0 if link is None else _after(link)


def next_depth_in_process(bucket: str) -> int:
    """The depth of a file that this process writes to a bucket; 0 if no link is about that bucket.

    For processes that only run jobs: a thread that a task started does not know its job, so its
    files count as those of the deepest job that runs here.

    Raises: ChainTooLong.
    """
    link = _current.get()
    if link is not None:
        return _after(link) if link.bucket == bucket else 0
    with _lock:
        others = [one for one in _running if one.bucket == bucket]
    return _after(max(others, key=lambda one: one.depth())) if others else 0


def depth_in(metadata: Mapping[str, str]) -> int:
    """The depth that a file's metadata give; 0 if they give none that makes sense."""
    given = metadata.get(DEPTH_METADATA, "")[:_DIGITS]
    return int(given) if given.isascii() and given.isdecimal() else 0


def _after(link: Link) -> int:
    depth = link.depth() + 1
    if depth > link.max_depth:
        raise ChainTooLong(link.max_depth)
    return depth
