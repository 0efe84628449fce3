"""Docker, which builds the workers' image."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from typing import Final

from remotejob.cli.deploy.plan import Plan
from remotejob.cli.doctor.findings import Finding

_VARIABLE: Final = "CDK_DOCKER"
"""Names another program that takes Docker's arguments. Source: AWS CDK, "Build and deploy container
image assets"."""
_PATIENCE_S: Final = 20.0


def docker(plan: Plan, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether Docker, or the program that `CDK_DOCKER` names, answers."""
    if not plan.builds_images:
        return
    program = environment.get(_VARIABLE) or "docker"
    try:
        done = subprocess.run(
            [program, "version"],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except OSError as problem:
        yield _finding(program, f"cannot be started ({problem.strerror})")
    except subprocess.TimeoutExpired:
        yield _finding(program, f"has not answered for {_PATIENCE_S:g} seconds")
    else:
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "no reason").splitlines()[-1]
            yield _finding(program, f"does not answer ({said[:200]})")


def _finding(program: str, what: str) -> Finding:
    return Finding(
        place="Docker",
        what=f"{program} {what}, and the workers' image must be built",
        remedy=f"install and start Docker, set {_VARIABLE} to a program like it (podman, finch), or"
        " deploy an image from a registry (`image` in remotejob.toml)",
    )
