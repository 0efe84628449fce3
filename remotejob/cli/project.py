"""The project that a command is called in: the folder that holds `remotejob.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from remotejob import settings

LOCAL_STATE: Final = Path("build/local")
"""Of a local system, in its project's folder."""


def project_folder(start: Path | None = None) -> Path | None:
    """The nearest folder, from the current one upwards, that holds `remotejob.toml`."""
    begin = (start or Path.cwd()).resolve()
    holds = (folder for folder in (begin, *begin.parents) if _has_settings(folder))
    return next(holds, None)


def project_system() -> str | None:
    """The name of the system in the project's settings; None outside a project.

    Raises: SettingsError.
    """
    folder = project_folder()
    return None if folder is None else settings.load_system(folder / settings.DEFAULT_FILE).name


def _has_settings(folder: Path) -> bool:
    try:
        return (folder / settings.DEFAULT_FILE).is_file()
    except OSError:
        # a folder above may be closed to this user
        return False
