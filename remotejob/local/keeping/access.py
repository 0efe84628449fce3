"""How to reach the embedded AWS: the same port and keys at each start."""

from __future__ import annotations

import json
import logging
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from remotejob.local import private_files

_LOG = logging.getLogger(__name__)
_NAME: Final = "access.json"
_PORTS: Final = range(20_000, 32_000)
"""Below what systems give to outgoing connections: one of those must not have our port when we
start again. Source: Linux, ip-sysctl, "ip_local_port_range"; RFC 6335, section 6."""
_TRIES: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """The port and the administrator's keys."""

    port: int
    access_key_id: str
    secret_access_key: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Those of the last start; None if there was none, or nobody can tell any more."""
        try:
            found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
            return cls(
                port=int(found["port"]),
                access_key_id=str(found["access_key_id"]),
                secret_access_key=str(found["secret_access_key"]),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            _LOG.exception("%s is unreadable: port and keys will be new", folder / _NAME)
            return None

    def write(self, folder: Path) -> None:
        """Write them for the next start, readable by this user alone."""
        partial = folder / f"{_NAME}.part"
        partial.unlink(missing_ok=True)
        with private_files.open_log(partial) as file:
            file.write(json.dumps(asdict(self)).encode())
        partial.replace(folder / _NAME)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # as the server does: an old connection of ours may still be closing
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host: str) -> int:
    """A port to use from now on; 0, which lets the system choose, if none was found."""
    for _ in range(_TRIES):
        port = secrets.choice(_PORTS)
        if is_free(host, port):
            return port
    return 0
