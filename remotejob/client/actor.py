"""Who this process is, in the log of a job that it does something to."""

from __future__ import annotations

import getpass
import os
import socket

from remotejob.domain.history import LONGEST_ACTOR, check_actor
from remotejob.domain.text import cut, printable
from remotejob.names import ClientEnv


def this_actor() -> str:
    """What $REMOTEJOB_ACTOR says, or the user and the host of this process, such as `ana@laptop`.

    Raises: InvalidName, when the variable is no name.
    """
    given = os.environ.get(ClientEnv.ACTOR)
    return check_actor(given, name=ClientEnv.ACTOR) if given else _user_and_host()


def _user_and_host() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        # in a container, the user may have no name
        user = "somebody"
    return cut(printable(f"{user}@{socket.gethostname()}".replace("\t", " ")), LONGEST_ACTOR)
