"""Who this process is, in the log of a job that it does something to."""

from __future__ import annotations

import getpass
import socket
from functools import cache

from remotejob.domain.history import LONGEST_ACTOR
from remotejob.domain.text import cut, printable


@cache
def this_actor() -> str:
    """The user and the host of this process, such as `ana@laptop`; asks nobody."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        # in a container, the user may have no name
        user = "somebody"
    return cut(printable(f"{user}@{socket.gethostname()}".replace("\t", " ")), LONGEST_ACTOR)
