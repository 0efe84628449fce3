"""Known advisories on what the locks name, looked up by pip-audit and by npm.

Both end well when they could look up nothing: pip-audit then skips each package and exits with 0.
So what was looked up is counted here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.bills import NPM_LOCK
from audit.locks import read_lock


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """What was looked up for one lock: how many packages of how many, and what was found."""

    looked_up: int
    packages: int
    found: tuple[str, ...] = ()
    skipped: str | None = None
    """Why packages could not be looked up: the first reason."""
    from_git: tuple[str, ...] = ()
    """Further packages, which no database knows by their commit."""


def python_advisories(lock: Path) -> Lookup:
    """Ask the database that pip-audit asks, by default PyPI's.

    Raises: AuditProblem, when the lock is refused.
    """
    locked = read_lock(lock)
    with tempfile.TemporaryDirectory(prefix="remotejob-audit-") as folder:
        # pip-audit refuses the whole file for one package from git
        published = Path(folder) / lock.name
        published.write_text("".join(f"{each.text}\n" for each in locked if each.commit is None))
        said = _json(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", str(published)),
                *("--require-hashes", "--disable-pip", "--format", "json"),
                *("--progress-spinner", "off"),
            ]
        )
    packages = said.get("dependencies", [])
    skipped = [each for each in packages if "skip_reason" in each]
    found = [
        f"{each['name']} {each['version']}: {fault['id']}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version yet'}"
        for each in packages
        for fault in each.get("vulns", [])
    ]
    return Lookup(
        looked_up=len(packages) - len(skipped),
        packages=len(packages),
        found=tuple(found),
        skipped=skipped[0]["skip_reason"] if skipped else said.get("failed"),
        from_git=tuple(each.name for each in locked if each.commit is not None),
    )


def npm_advisories(npm: Sequence[str], lock: Path = NPM_LOCK) -> Lookup:
    """Ask the npm registry."""
    packages = len(json.loads((lock / "package-lock.json").read_text())["packages"]) - 1
    said = _json([*npm, "audit", "--json", "--package-lock-only"], cwd=lock)
    if "vulnerabilities" not in said:
        reason = said.get("message") or said.get("failed") or "npm audit did not say why"
        return Lookup(looked_up=0, packages=packages, skipped=reason)
    found = [f"{name}: {fault['severity']}" for name, fault in said["vulnerabilities"].items()]
    return Lookup(looked_up=packages, packages=packages, found=tuple(found))


def _json(command: Sequence[str], cwd: Path | None = None) -> dict[str, Any]:
    """What a tool printed; `failed` with its last words, if that is no JSON."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        words = (done.stderr or done.stdout).strip().splitlines()
        return {"failed": words[-1] if words else f"it exited with {done.returncode}"}
    return said
