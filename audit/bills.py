"""Bills of materials: each lock is installed for the platform it is for, and listed in CycloneDX.

`cyclonedx-py` lists the Python packages, and npm the CDK's command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audit.locks import options
from audit.problem import AuditProblem

ROOT: Final = Path(__file__).resolve().parents[1]
NPM_LOCK: Final = ROOT / "remotejob/cli/deploy/cdk"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One lock, and the platform it is installed for; this machine's where none is given."""

    name: str
    lock: Path
    python: str | None = None
    platform: str | None = None


TARGETS: Final = (
    Target(
        name="worker",
        lock=ROOT / "requirements" / "worker.txt",
        python="3.13",
        platform="x86_64-manylinux_2_28",
    ),
    Target(
        name="functions",
        lock=ROOT / "requirements" / "functions.txt",
        python="3.14",
        platform="aarch64-manylinux2014",
    ),
    Target(name="development", lock=ROOT / "requirements" / "dev.txt"),
)
"""A test compares the platforms with those of the image and of the functions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A package of a bill; its licences are SPDX expressions or names, as it declares them."""

    name: str
    version: str
    licences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """A bill of materials in CycloneDX, and what it lists."""

    name: str
    path: Path
    components: tuple[Component, ...]


def python_bill(target: Target, folder: Path) -> Bill:
    """Install a lock and list it.

    Raises: AuditProblem, when the lock is refused, a tool fails or nothing is listed.
    """
    environment = folder / "environments" / target.name
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    uv = [sys.executable, "-m", "uv"]
    base = getattr(sys, "_base_executable", sys.executable)
    _run([*uv, "venv", "--quiet", "--clear", "--python", base, str(environment)])
    wanted = [
        *(("--python-version", target.python) if target.python else ()),
        *(("--python-platform", target.platform) if target.platform else ()),
    ]
    _run(
        [
            *(*uv, "pip", "sync", "--quiet", "--python", str(python), "--only-binary", ":all:"),
            *(*options(target.lock), *wanted, str(target.lock)),
        ]
    )
    path = folder / f"{target.name}.cdx.json"
    _run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
            *("--output-format", "JSON", "--output-file", str(path), str(python)),
        ]
    )
    return read_bill(target.name, path)


def npm_bill(npm: Sequence[str], folder: Path, lock: Path = NPM_LOCK) -> Bill:
    """List the CDK's command line. Raises: AuditProblem, as `python_bill`."""
    said = _run([*npm, "sbom", "--sbom-format", "cyclonedx", "--package-lock-only"], cwd=lock)
    path = folder / "cdk.cdx.json"
    path.write_text(said, encoding="utf-8")
    return read_bill("cdk", path)


def read_bill(name: str, path: Path) -> Bill:
    """A bill from its file. Raises: AuditProblem, when it lists nothing."""
    found = json.loads(path.read_text(encoding="utf-8")).get("components", [])
    components = tuple(
        Component(
            name=each["name"], version=each.get("version", ""), licences=tuple(_licences(each))
        )
        for each in found
    )
    if not components:
        raise AuditProblem(f"the bill of {name} lists no package: {path}; is its lock empty?")
    return Bill(name=name, path=path, components=components)


def _licences(component: dict[str, Any]) -> list[str]:
    found = []
    for each in component.get("licenses", []):
        licence = each.get("license", {})
        found.append(each.get("expression") or licence.get("id") or licence.get("name") or "")
    return [each for each in found if each]


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AuditProblem(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
