"""The `doctor` command."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, System, note, out, say
from remotejob.cli.connecting import connect
from remotejob.cli.exit_codes import Exit

app: Final = typer.Typer()


@app.command()
def doctor(system: System = None, as_json: AsJson = False) -> None:
    """Look for items of the job table that cannot be read. Exits with 6 if there are any."""
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
