"""Where `remotejob local` keeps what, in the project's folder."""

from __future__ import annotations

from typing import Final

from remotejob.cli.project import LOCAL_STATE

STATE: Final = LOCAL_STATE
LOGS: Final = STATE / "logs"
FUNCTIONS: Final = STATE / "functions"
ASSEMBLY: Final = STATE / "cdk.out"
ASSETS: Final = STATE / "assets"
