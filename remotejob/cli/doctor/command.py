"""The `doctor` command."""

from __future__ import annotations

from typing import Final

import typer

from remotejob.cli.common import AsJson, System, note
from remotejob.cli.connecting import connect, meant
from remotejob.cli.doctor.deployed import Context, checks_of
from remotejob.cli.doctor.findings import exit_for, run_checks, show_findings
from remotejob.cli.doctor.odd_items import OddItems

app: Final = typer.Typer()


@app.command()
def doctor(system: System = None, as_json: AsJson = False) -> None:
    """Look for what is wrong with a deployed system, and say what to do.

    Exits with 6 if something does not work.
    """
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
