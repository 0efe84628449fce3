"""The real stacks, deployed into an AWS embedded in this machine.

Synthesizing takes several seconds of both cores: it is done once for all that runs at a time, and
again when a file of the project has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from remotejob import RemoteJob
from remotejob.cli.local.synthesis import synthesize
from remotejob.local import assembly
from remotejob.local.assembly import Assembly
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import Env

ROOT: Final = Path(__file__).resolve().parents[1]
ASSETS: Final = ROOT / "build/tests/assets"
ASSEMBLIES: Final = ROOT / "build/tests/assemblies"
NOT_READ: Final = frozenset({"build", "cdk.out", "tests", "docs", "benchmarks", "__pycache__"})
"""Folders whose files no stack is made of."""


@contextmanager
def deployed(settings: Path, **options: Any) -> Iterator[EmbeddedAws]:
    """An AWS with the system of these settings alone; `options` are those of `EmbeddedAws`."""
    folder = _synthesized(settings)
    with EmbeddedAws.for_assembly(folder, cache=ASSETS, **options) as embedded:
        embedded.deploy(folder)
        yield embedded


@contextmanager
def connected(environment: Mapping[str, str]) -> Iterator[RemoteJob]:
    """The system that these variables lead to, while they are set."""
    with exported(environment):
        yield RemoteJob.connect(session=boto3.Session())


@contextmanager
def exported(environment: Mapping[str, str]) -> Iterator[None]:
    """Set these variables, and none that describes a system, while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(Env.SYSTEM, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


def assembly_of(settings: Path) -> Assembly:
    """The assembly of these settings, for an AWS that is another's."""
    return assembly.read(_synthesized(settings))


def _synthesized(settings: Path) -> Path:
    """The assembly of these settings and of this code, made by the first process that needs it."""
    ASSEMBLIES.mkdir(parents=True, exist_ok=True)
    name = "-".join(settings.resolve().relative_to(ROOT).with_suffix("").parts)
    folder, made_of = ASSEMBLIES / name, ASSEMBLIES / f"{name}.digest"
    with (ASSEMBLIES / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = _digest(settings)
        if not made_of.exists() or made_of.read_text() != digest:
            made_of.unlink(missing_ok=True)
            synthesize(settings, folder)
            made_of.write_text(digest)
    return folder


def _digest(settings: Path) -> str:
    """Of all that synthesizing reads."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (settings, *sorted(_files())):
        content = path.read_bytes()
        digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_READ and name[0] != "."]
        yield from (Path(folder) / name for name in names)
