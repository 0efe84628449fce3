"""The embedded AWS as tests start it: it notes what it is asked.

It notes the requests of roles, of workers and functions, that AWS itself would refuse or that their
policies refuse; tests sign as the administrator what they send on purpose. And it notes which
statements of policies allowed something, for whomever.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "TESTED_REQUESTS"
"""The environment variable with the folder for notes."""
FAULTS: Final = ".faults"
REFUSED: Final = ".refused"
USED: Final = ".used"
_CHECKED: Final = frozenset({"dynamodb", "sqs"})


def main() -> int:
    """Serve until stopped."""
    # moto reads its settings at import: the server must set them first
    from remotejob.local import server

    started = server.Server.__init__

    def start(self: Any, **options: Any) -> None:
        folder = Path(os.environ[FOLDER])
        _note_requests(folder)
        _note_statements(folder)
        started(self, **options)

    server.Server.__init__ = start  # type: ignore[method-assign]
    return server.main()


def _note_requests(folder: Path) -> None:
    from remotejob.local.access.refusals import Refusal
    from remotejob.local.gateway import Gateway
    from tests.requests import rules

    stock = Gateway._authorise

    def authorise(self: Any, call: Any, who: Any, protocol: str) -> Any:
        outcome = stock(self, call, who, protocol)
        if who.role_arn is not None:
            asked = f"{who.name}: {call.service}:{call.operation}"
            if isinstance(outcome, Refusal):
                note(folder, REFUSED, [f"{asked} {outcome.body.decode()}"])
            elif call.service in _CHECKED:
                found = rules.faults(call.service, call.operation, call.parameters)
                note(folder, FAULTS, [f"{asked} {fault}" for fault in found])
        return outcome

    Gateway._authorise = authorise  # type: ignore[method-assign]


def _note_statements(folder: Path) -> None:
    """Note each statement with each action that it allowed, once."""
    from remotejob.local import gateway
    from remotejob.local.access import policies

    stock, seen = policies.allowed, set()

    def allowed(documents: list[Any], access: Any) -> bool:
        granted = stock(documents, access)
        for statement in (one for each in documents for one in each["Statement"]):
            # documents are parsed once, so that a statement is the same object each time
            key = (id(statement), access.action)
            if granted and key not in seen and policies._applies(statement, access):
                seen.add(key)
                note(folder, USED, [used_as(statement, access.action)])
        return granted

    gateway.__dict__["allowed"] = allowed


def used_as(statement: Any, action: str) -> str:
    """How the use of a statement is noted."""
    return json.dumps([action, statement], sort_keys=True)


def note(folder: Path, kind: str, lines: list[str]) -> None:
    """Add lines to this process's file of that kind, while the test process lives."""
    if not lines or not folder.is_dir():
        return
    with (folder / f"{os.getpid()}{kind}").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
