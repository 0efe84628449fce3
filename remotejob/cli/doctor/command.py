"""The `doctor` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from remotejob.cli.common import AsJson, System, note
from remotejob.cli.connecting import connect, meant
from remotejob.cli.doctor.deployed import Context, checks_of
from remotejob.cli.doctor.findings import exit_for, run_checks, show_findings
from remotejob.cli.doctor.odd_items import OddItems
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
    """Look for what is wrong with a deployed system, or, before a deployment, for what would make
    it fail, and say what to do. Exits with 6 if something does not work."""
    if before_deploy:
        # imported here: it reads what the CDK wrote, which no other command does
        from remotejob.cli.deploy import command as deploying

        deploying.before_deploy(stage, settings, as_json=as_json)
    for option, given in (("--stage", stage), ("--settings", settings)):
        if given is not None:
            raise InvalidData(f"{option} {given} goes with --before-deploy")
    local = meant(system) is not None
    installation = connect(system)._installation
    odd = OddItems(installation)
    # a system in memory has no account, and no parts
    deployed = checks_of(Context(installation), local=local) if installation.account else []
    findings = run_checks([*deployed, odd.check])
    show_findings(findings, as_json=as_json, records=odd.records, complete=odd.complete)
    if not as_json:
        bound = "" if odd.complete else "; not all of them"
        note(f"findings: {len(findings)}; records read: {odd.records:,}{bound}")
    raise typer.Exit(exit_for(findings))
