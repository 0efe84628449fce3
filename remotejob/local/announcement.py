"""Tells other programs in a project's folder how to reach the local system that runs there.

`remotejob local` writes `system.json` into its own folder once it is ready, and removes it when it
ends. After a crash the file stays, so a reader believes it only while the process that wrote it
holds the folder's lock and its endpoint answers.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from remotejob.local import private_files
from remotejob.local.errors import NotPrivate

FILE: Final = "system.json"
ENDPOINT: Final = "AWS_ENDPOINT_URL"
_LOCK: Final = "lock"
_LOOPBACK: Final = ("127.0.0.1", "localhost")
_ANSWERS_WITHIN_S: Final = 5.0
"""A busy machine answers in less; nothing at that port refuses at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalSystem:
    """A system that runs on this machine."""

    pid: int
    """The process of `remotejob local`."""
    system: str
    """The system's name."""
    environment: Mapping[str, str]
    """Variables with which programs reach it."""
    input_bucket: str
    output_bucket: str

    @property
    def endpoint(self) -> str:
        return self.environment[ENDPOINT]

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Raises: ValueError, when it describes no local system."""
        try:
            document = json.loads(text)
            found = cls(**{field.name: document[field.name] for field in fields(cls)})
            texts: list[Any] = [found.system, found.input_bucket, found.output_bucket]
            texts += [found.endpoint, *found.environment.values()]
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"it has no {problem}") from None
        if type(found.pid) is not int or not all(isinstance(one, str) for one in texts):
            raise ValueError("a value is of the wrong kind")
        if not all(name.isidentifier() for name in found.environment):
            raise ValueError("a shell can have no variable of such a name")
        url = urlsplit(found.endpoint)
        if url.scheme != "http" or url.hostname not in _LOOPBACK or url.port is None:
            raise ValueError("its endpoint is not on this machine")
        return found


@contextmanager
def announced(
    folder: Path,
    *,
    system: str,
    environment: Mapping[str, str],
    input_bucket: str,
    output_bucket: str,
) -> Iterator[None]:
    """Let other programs find the system while the block runs.

    The caller holds the lock of `folder` (see `cli.single_instance`).
    Raises: NotPrivate; OSError, when the file cannot be written.
    """
    running = LocalSystem(
        pid=os.getpid(),
        system=system,
        environment=dict(environment),
        input_bucket=input_bucket,
        output_bucket=output_bucket,
    )
    path = folder / FILE
    private_files.replace_file(path, f"{json.dumps(asdict(running), indent=2)}\n".encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find(folder: Path) -> LocalSystem | None:
    """The system that runs in a folder; None for what a crash, or somebody else, left there."""
    path = folder / FILE
    try:
        # asked first: the rest needs a system with users and links, unlike Windows
        if not path.is_file():
            return None
        found = LocalSystem.from_json(private_files.read_file(path))
    except (OSError, NotPrivate, ValueError):
        return None
    return found if _holds_lock(folder, found.pid) and _answers(found.endpoint) else None


def _holds_lock(folder: Path, pid: int) -> bool:
    """Whether a process holds the folder's lock."""
    # imported here because Windows has no fcntl, nor a local system
    import fcntl

    try:
        with (folder / _LOCK).open() as file:
            # before the lock: a `remotejob local` that starts now must not find it taken by us
            if file.read().strip() != str(pid) or not _exists(pid):
                return False
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _exists(pid: int) -> bool:
    """Whether this user has a process with this number."""
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


def _answers(endpoint: str) -> bool:
    """Whether something speaks HTTP there. Any status will do: nothing is asked for."""
    url = urlsplit(endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_ANSWERS_WITHIN_S)
    try:
        connection.request("HEAD", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
