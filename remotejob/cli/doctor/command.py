"""The `doctor` command."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, System, note, out, say
from remotejob.cli.connecting import connect
from remotejob.cli.exit_codes import Exit
from remotejob.domain.errors import InvalidData
from remotejob.settings import Stage

app: Final = typer.Typer()


@app.command()
def doctor(
    system: System = None,
    before_deploy: Annotated[
        bool,
        typer.Option(
            "--before-deploy",
            help="Look at this machine and the account instead, before the project is deployed.",
        ),
    ] = False,
    stage: Annotated[
        Stage | None, typer.Option(help="With --before-deploy: the stage to deploy.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="With --before-deploy: the settings to deploy.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for items of the job table that cannot be read, or, before a deployment, for what would
    make it fail. Exits with 6 if there is anything."""
    if before_deploy:
        # imported here: it reads what the CDK wrote, which no other command does
        from remotejob.cli.deploy import command as deploying

        deploying.before_deploy(stage, settings, as_json=as_json)
    for option, given in (("--stage", stage), ("--settings", settings)):
        if given is not None:
            raise InvalidData(f"{option} {given} goes with --before-deploy")
    diagnosis = connect(system).doctor()
    if as_json:
        formats.to_json(out, asdict(diagnosis))
    else:
        for found in diagnosis.findings:
            say(f"{found.partition} / {found.name}: {found.problem}")
        bound = "" if diagnosis.complete else ", and there are more"
        note(f"odd items: {len(diagnosis.findings)}; records read: {diagnosis.records:,}{bound}")
        if diagnosis.findings:
            note(
                "update this program if a newer version wrote them; otherwise delete each: aws "
                "dynamodb delete-item --table-name TABLE --key "
                """'{"pk": {"S": "BEFORE THE SLASH"}, "sk": {"S": "AFTER IT"}}'"""
            )
    if diagnosis.findings:
        raise typer.Exit(Exit.TROUBLE)
