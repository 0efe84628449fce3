"""Lets `RemoteJob.connect` find the systems of a test, so that code under test needs no change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from remotejob.client.remote_job import NAME_VARIABLE, RemoteJob
from remotejob.domain.errors import SystemNotFound
from remotejob.domain.text import shown

_clients: Final[list[RemoteJob]] = []
"""Those of the systems that are open, the innermost last."""


@contextmanager
def found_by_connect(client: RemoteJob) -> Iterator[None]:
    """While the block runs, `RemoteJob.connect` returns this client, and never asks AWS."""
    original = RemoteJob.__dict__["connect"]
    _clients.append(client)
    RemoteJob.connect = classmethod(_connect)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        _clients.remove(client)
        RemoteJob.connect = original  # type: ignore[method-assign]


def _connect(
    cls: type[RemoteJob],  # noqa: ARG001 (a class method's)
    system: str | None = None,
    *,
    session: Any = None,  # noqa: ARG001 (there is no AWS to reach)
) -> RemoteJob:
    """The open system of that name; without a name, of $REMOTEJOB_NAME, or the innermost.

    Raises: SystemNotFound.
    """
    name = system or os.environ.get(NAME_VARIABLE)
    for client in reversed(_clients):
        if name is None or client.name == name:
            return client
    known = ", ".join(sorted(client.name for client in _clients))
    # a shell may have it from `remotejob env`
    remedy = "" if system else f"; unset {NAME_VARIABLE}, which asks for it"
    raise SystemNotFound(
        f"no system {shown(name)} in this test (there is {known}): it has the `name` in the "
        f"settings{remedy}"
    )
