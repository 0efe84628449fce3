"""The command: `python -m audit.templates.synthesize FOLDER`; writes what `check` looks at.

For development and for production, a system with what the settings offer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from unittest.mock import patch

from remotejob.cdk import RemoteJobApp
from stacks.system import ROOT, add_system

SETTINGS: Final = Path(__file__).parent
STAGES: Final = ("development", "production")


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesize each stage into a folder of its name."""
    (name,) = sys.argv[1:] if arguments is None else arguments
    folder = Path(name).resolve()
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / "code.py").write_text("")
    for stage in STAGES:
        app = RemoteJobApp(ROOT, outdir=folder / stage)
        # the functions' code is half the time, and no template depends on what is in it
        with patch("remotejob.cdk.functions_part.bundle", lambda *_, **__: code):
            add_system(app, SETTINGS / f"{stage}.toml")
        app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
