"""Where `remotejob local` keeps what, in the project's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

STATE: Final = Path("build/local")
LOGS: Final = STATE / "logs"
FUNCTIONS: Final = STATE / "functions"
ASSEMBLY: Final = STATE / "cdk.out"
ASSETS: Final = STATE / "assets"
