"""Synthesize the CDK app in this folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from remotejob.domain.errors import SettingsError
from remotejob.names import STAGE_CONTEXT
from remotejob.settings import Stage

_PROBLEM: Final = "error: "


def synthesize(settings_file: Path, folder: Path) -> Path:
    """Synthesize the CDK app into a folder, for development: what runs here is nobody's only copy.

    Raises: SettingsError, with the app's error output.
    """
    if not Path("app.py").is_file():
        raise SettingsError(
            f"there is no app.py in {Path.cwd()}; run this in the project's root folder"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "CDK_OUTDIR": str(folder.resolve()),
        "CDK_CONTEXT_JSON": json.dumps(
            {"settings": str(settings_file.resolve()), STAGE_CONTEXT: Stage.DEVELOPMENT}
        ),
    }
    done = subprocess.run(
        [sys.executable, "app.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        # so `app_in` says what is wrong with the settings
        if said.startswith(_PROBLEM) and "\n" not in said:
            raise SettingsError(said.removeprefix(_PROBLEM))
        raise SettingsError(f"the CDK app failed:\n{said}")
    return folder
