"""How many deaths of its worker a job may survive, and what it means if that is none.

At most once: a run that has begun is the last, whatever ended it from outside. A run has begun once
its task's function may have been called. Nobody knows that of a run whose worker died, so a claim
alone counts there; a worker that lives knows it, and gives back a run that never began.
"""

from __future__ import annotations

from typing import Final

from remotejob.domain.argument_checks import check_whole

_MOST: Final = 100

NOT_AGAIN: Final = (
    "it must not run again by itself (crashes=0); look at what it did, then restart it"
)


def check_crashes(crashes: object) -> int | None:
    """Check a `crashes`. Raises: InvalidData."""
    if crashes is None:
        return None
    return check_whole(
        "crashes", crashes, least=0, most=_MOST, or_=", or None for the default of two"
    )
