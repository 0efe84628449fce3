"""The app: the system of `remotejob.toml`, with this checkout's functions and image."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from remotejob.cdk import FunctionsCode, RemoteJobApp, RemoteJobSystem, WorkerImage

ROOT: Final = Path(__file__).resolve().parents[1]


def add_system(app: RemoteJobApp, settings: Path | None = None) -> RemoteJobSystem:
    """The system, in three stacks: storage, functions, workers.

    settings: default the app's own.

    Raises: SettingsError, BundleError.
    """
    return RemoteJobSystem(
        app,
        "System",
        settings=app.settings if settings is None else settings,
        worker=WorkerImage(folder=ROOT),
        functions=FunctionsCode(folder=ROOT / "lambdas"),
    )
