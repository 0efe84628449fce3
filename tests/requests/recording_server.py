"""The embedded AWS as tests start it: it notes the requests that AWS itself would refuse.

It notes only requests that are signed by roles: workers and functions. Tests sign as the
administrator what they send on purpose.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "TESTED_REQUESTS"
"""The environment variable with the folder for notes."""
FAULTS: Final = ".faults"
_CHECKED: Final = frozenset({"dynamodb", "sqs"})


def main() -> int:
    """Serve until stopped."""
    # moto reads its settings at import: the server must set them first
    from remotejob.local import server

    started = server.Server.__init__

    def start(self: Any, **options: Any) -> None:
        _note_faults(Path(os.environ[FOLDER]))
        started(self, **options)

    server.Server.__init__ = start  # type: ignore[method-assign]
    return server.main()


def _note_faults(folder: Path) -> None:
    from remotejob.local.gateway import Gateway
    from tests.requests import rules

    stock = Gateway._authorise

    def authorise(self: Any, call: Any, who: Any, protocol: str) -> Any:
        if who.role_arn is not None and call.service in _CHECKED:
            found = rules.faults(call.service, call.operation, call.parameters)
            if found and folder.is_dir():
                note(folder, FAULTS, [f"{who.name}: {fault}" for fault in found])
        return stock(self, call, who, protocol)

    Gateway._authorise = authorise  # type: ignore[method-assign]


def note(folder: Path, kind: str, lines: list[str]) -> None:
    """Add lines to this process's file of that kind."""
    with (folder / f"{os.getpid()}{kind}").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
