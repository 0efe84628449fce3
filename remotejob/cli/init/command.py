"""`remotejob init`: a folder with all that a team commits."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, out, say
from remotejob.cli.init.adding import Made, add, make
from remotejob.cli.init.naming import check_project_name, project_name


def init(
    folder: Annotated[
        Path, typer.Argument(help="A new folder; . adds what is missing in this one.")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the project and its system; default: the folder's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a project for your tasks: settings, CDK app, Dockerfile, a task, tests and CI.

    Overwrites nothing.
    """
    existing = folder.exists() and folder.samefile(Path.cwd())
    whole = folder.resolve()
    project = project_name(whole.name) if name is None else check_project_name(name)
    made = add(folder, project) if existing else make(folder, project)
    if as_json:
        formats.to_json(out, {"folder": str(whole), "name": project, **asdict(made)})
        return
    _show(made)
    _next_steps(None if existing else folder, made)


def _show(made: Made) -> None:
    for name in made.added:
        say(f"added         {name}")
    for name in made.kept:
        say(f"kept (yours)  {name}")
    for line in made.to_do:
        say(f"to do         {line}")


def _next_steps(folder: Path | None, made: Made) -> None:
    if not made.added:
        say("nothing is missing")
        return
    out.print()
    steps = [] if folder is None else [f"cd {shlex.quote(str(folder))}"]
    steps.append("uv sync --extra dev && source .venv/bin/activate   # README.md has it for pip")
    if "tasks/report.py" in made.added:
        steps.append("remotejob local --process samples")
    steps.append("pytest")
    for step in steps:
        say(f"  {step}")
