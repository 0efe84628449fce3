"""The ECS services of an embedded AWS whose desired counts are obeyed, as a test holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from remotejob.local.control import Control
from remotejob.local.ecs.faults import StartFault
from remotejob.local.ecs.history import Change
from remotejob.local.ecs.surroundings import Surroundings


class Counts(StrEnum):
    """What the embedded AWS makes of the desired counts of ECS services."""

    IGNORED = "ignored"
    """Workers start only by `EmbeddedAws.start_worker`."""
    OBEYED = "obeyed"
    """Services start and stop workers, once `EmbeddedAws.services.go` is called."""


class Services:
    """Lets services go, looks at what they did, and lets things go wrong."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def go(self, surroundings: Surroundings | None = None) -> None:
        """Let services start workers; default: as before, at first from the current folder."""
        self._control.post("services/go", surroundings.to_json() if surroundings else None)

    def hold(self, *, hurry: timedelta, kill: timedelta) -> int:
        """Stop all workers at once, and start none until `go`; return how many were stopped.

        They get SIGTERM now, SIGQUIT after `hurry` and SIGKILL after `kill`. Failed starts are
        forgotten.
        """
        spans = {"hurry_s": hurry.total_seconds(), "kill_s": kill.total_seconds()}
        return int(self._control.post("services/hold", spans))

    def changes(self, since: int = 0) -> Sequence[Change]:
        """The starts and ends of workers after the first `since`."""
        return [Change.from_json(one) for one in self._control.get(f"services/{since}")]

    def messages(self) -> Mapping[str, int]:
        """How many messages of each SQS queue are visible, by its name."""
        found: dict[str, int] = self._control.get("services/messages")
        return found

    def break_starts(self, fault: StartFault | None, service: str | None = None) -> None:
        """Let starts go wrong, of one service by its name or of all; None ends that."""
        self._control.post("services/faults", {"fault": fault, "service": service})

    def interrupt_spot(self) -> int:
        """Take back the capacity of all workers on Spot; return how many there were."""
        return int(self._control.post("services/interrupt-spot"))
