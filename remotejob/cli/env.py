"""The `env` command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Final

import typer

from remotejob.cli import formats
from remotejob.cli.choosing import unwanted
from remotejob.cli.common import AsJson, System, out
from remotejob.cli.connecting import connect, meant
from remotejob.client.remote_job import NAME_VARIABLE
from remotejob.names import ClientEnv

app: Final = typer.Typer()


@app.command()
def env(system: System = None, as_json: AsJson = False) -> None:
    """Print the variables with which other tools reach the system: eval "$(remotejob env)".

    For a system in AWS these are its name, region and buckets, and never credentials.
    """
    local = meant(system)
    remove: list[str] = []
    if local is None:
        found = connect(system)
        exports = {
            NAME_VARIABLE: found.name,
            "AWS_REGION": found.region,
            # the AWS CLI and boto3 read no other
            "AWS_DEFAULT_REGION": found.region,
            **_buckets(found.input_bucket, found.output_bucket),
        }
    else:
        exports = {**local.environment, **_buckets(local.input_bucket, local.output_bucket)}
        remove = [name for name in unwanted(local, os.environ) if name.isidentifier()]
    if as_json:
        formats.to_json(out, exports)
    else:
        _print_for_shell(exports, remove)


def _buckets(input_bucket: str, output_bucket: str) -> dict[str, str]:
    return {ClientEnv.INPUT_BUCKET: input_bucket, ClientEnv.OUTPUT_BUCKET: output_bucket}


def _print_for_shell(exports: Mapping[str, str], remove: list[str]) -> None:
    """Print commands of a POSIX shell.

    Values are printed as they are: the console would make some of their characters visible.
    """
    if remove:
        typer.echo(f"unset {' '.join(remove)}")
    for name, value in exports.items():
        typer.echo(f"export {name}={_quoted(value)}")


def _quoted(value: str) -> str:
    """Always in quotes, as `shlex.quote` is only where they are needed."""
    quoted = shlex.quote(value)
    return quoted if quoted.startswith("'") else f"'{quoted}'"
