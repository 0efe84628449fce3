"""The pytest plugin: a system in memory as a fixture. It loads the library only when it is used.

Source: pytest, "Writing plugins", entry point `pytest11`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from remotejob.testing.isolation import forgotten_afterwards

if TYPE_CHECKING:
    from remotejob.testing.job_system import JobSystem
    from remotejob.testing.system_settings import SettingsSource

_FILE = "remotejob.toml"


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Let tests import the tasks of a project, as its workers do: from the folder of its settings.

    Only in a project whose root folder has settings.
    """
    root = early_config.rootpath
    if (root / _FILE).is_file() and str(root) not in sys.path:
        sys.path.insert(0, str(root))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Forget the tasks and hooks that a test and its fixtures registered."""
    with forgotten_afterwards():
        yield


@pytest.fixture
def remotejob_settings(request: pytest.FixtureRequest) -> SettingsSource:
    """The settings of `remotejob_system`; override it to use others.

    A `pathlib.Path` to a file, or the text of one. By default the nearest `remotejob.toml` in the
    folder of the test or above it, up to pytest's root folder.
    """
    root, folder = request.config.rootpath, request.path.parent
    above = [one for one in (folder, *folder.parents) if one.is_relative_to(root)] or [root]
    for one in above:
        if (one / _FILE).is_file():
            return one / _FILE
    from remotejob.domain.errors import SettingsError

    looked = f"{above[0]}" if len(above) == 1 else f"{above[0]} and its parents up to {root}"
    raise SettingsError(
        f"remotejob_system needs settings, and there is no {_FILE} in {looked}; add one, or "
        "override the fixture remotejob_settings: return a pathlib.Path, or the text of settings"
    )


@pytest.fixture
def remotejob_system(remotejob_settings: SettingsSource) -> Iterator[JobSystem]:
    """A system in memory: `upload` files, `drain` what is due, move its `clock`, look at the jobs.

    `RemoteJob.connect` finds it while the test runs.
    """
    from remotejob.testing.job_system import JobSystem

    with JobSystem(remotejob_settings) as system:
        yield system
