"""The environment of a child process, with or without the worker's credentials."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

from remotejob.names import Env
from remotejob.tasks.runs_in import Credentials

log = logging.getLogger(__name__)

_KEPT: Final = frozenset(
    {
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_CA_BUNDLE",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
    }
)
"""The variables for AWS's libraries that contain no identity."""

_NO_CREDENTIALS: Final[Mapping[str, str]] = {
    # neither from the user's files nor from the instance's role
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

_PR_SET_DUMPABLE: Final = 4


def environment_for(credentials: Credentials, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child.

    Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers": keys, token,
    profile, web identity, container and instance metadata, all in variables that begin with AWS_.
    """
    # a supervisor sets it for its own child only
    kept = {name: value for name, value in environment.items() if name != Env.CHILD}
    if credentials is Credentials.INHERITED:
        return kept
    hidden = {Env.SYSTEM.value, *kept.get(Env.SECRETS, "").split(",")}
    harmless = {
        name: value
        for name, value in kept.items()
        if name not in hidden and (name in _KEPT or not name.startswith(("AWS_", "ECS_", "BOTO_")))
    }
    return {**harmless, **_NO_CREDENTIALS}


def hide_this_process() -> None:
    """Keep other processes of the same user from reading this one's memory and environment.

    From now on, this process writes no core dump, and only root can trace it. If the system cannot
    do that, the log says so.
    Source: proc(5), on /proc/[pid]: owned by root where the "dumpable" attribute is not 1.
    """
    if sys.platform == "linux":
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
            return
        log.warning(
            "other processes of this user can read this one's memory: prctl failed with error %d",
            ctypes.get_errno(),
        )
