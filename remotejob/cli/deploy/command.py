"""The commands `deploy` and `cdk`."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from botocore.exceptions import BotoCoreError, ClientError

from remotejob.cli import formats
from remotejob.cli.common import AsJson, note, out, say
from remotejob.cli.deploy.cdk_program import CdkProgram, Printed, cdk_program
from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.deployed import Deployed, look
from remotejob.cli.deploy.idle_cost import cost_text
from remotejob.cli.deploy.plan import Plan, read_plan
from remotejob.cli.deploy.smoke import Smoke, Smoked, Verdict
from remotejob.cli.doctor.before_deploy import Identity, preflight
from remotejob.cli.doctor.findings import Finding, Severity, exit_for, show_findings
from remotejob.cli.exit_codes import Exit
from remotejob.cli.program import called_as
from remotejob.cli.project import project_folder
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.errors import AccessProblem, RemoteJobError, SettingsError
from remotejob.jobs.queries.prices import list_prices
from remotejob.names import STAGE_CONTEXT
from remotejob.settings import DEFAULT_FILE, Stage, load_system

ASSEMBLY: Final = Path("build/deploy")
"""Of the project's folder: what is checked is what is deployed."""

app: Final = typer.Typer()

SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="Settings other than the project's remotejob.toml."),
]


class NotDeployed(RemoteJobError):
    """The stacks could not be synthesized or deployed."""


@app.command()
def deploy(
    stage: Annotated[
        Stage | None,
        typer.Argument(
            show_default="that of the settings, else production",
            help="production keeps all data, whatever becomes of the stacks; development does not.",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTIONS]", help="For `cdk deploy`, such as -- --concurrency 2."
        ),
    ] = None,
    settings: SettingsFile = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask before permissions are widened.")
    ] = False,
    smoke: Annotated[
        bool, typer.Option(help="Run a job in each queue afterwards, and wait for it.")
    ] = True,
    smoke_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for these jobs.")
    ] = 900,
    as_json: AsJson = False,
) -> None:
    """Deploy this project's stacks to AWS, and run a job in each queue.

    First it looks for what would make that fail, and for whom it could harm, as `remotejob doctor
    --before-deploy` does. Exits with 6 if something was found, or the deployment failed; with 1 if
    a job failed, with 5 if one did not end in time.
    """
    folder = _folder()
    program = cdk_program(os.environ)
    plan = synthesized(folder, _stage(folder, settings, stage), settings, program)
    client = _clients(plan)
    findings, identity = preflight(plan, client, os.environ)
    if identity is None or exit_for(findings) is not Exit.OK:
        show_findings(findings, as_json=as_json)
        note("nothing was deployed")
        raise typer.Exit(Exit.TROUBLE)
    for finding in findings:
        note(f"warning: {finding.place}: {finding.what}; {finding.remedy}")
    note(_about(plan, identity))
    approval = () if not yes else ("--require-approval", "never")
    _run_cdk(plan, folder, program, client, options=(*approval, *(options or ())))
    deployed = look(plan, client, list_prices())
    smoked = _smoke(plan, client, timedelta(seconds=smoke_timeout)) if smoke else []
    _show(plan, identity, deployed, smoked, findings, as_json=as_json)
    if any(one.verdict is Verdict.FAILED for one in smoked):
        raise typer.Exit(Exit.JOB_FAILED)
    if any(one.verdict is Verdict.LATE for one in smoked):
        raise typer.Exit(Exit.TIMEOUT)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def cdk(context: typer.Context) -> None:
    """Run the CDK's command line in this project, in the version that was tested: cdk diff, cdk
    bootstrap, cdk destroy and all the rest, with their own arguments."""
    folder = project_folder() or Path.cwd()
    raise typer.Exit(
        cdk_program(os.environ).run(
            context.args, folder=folder, environment=os.environ, printed=Printed.AS_RESULT
        )
    )


def before_deploy(stage: Stage | None, settings: Path | None, *, as_json: bool) -> None:
    """Check and show, without deploying. Raises: typer.Exit, with 6 for a finding that stops it."""
    folder = _folder()
    program = cdk_program(os.environ)
    plan = synthesized(folder, _stage(folder, settings, stage), settings, program)
    findings, identity = preflight(plan, _clients(plan), os.environ)
    about = {} if identity is None else {"account": identity.account, "region": identity.region}
    show_findings(findings, as_json=as_json, stage=plan.stage, **about)
    if not as_json:
        counts = [one.severity for one in findings]
        note(
            f"{'' if identity is None else _about(plan, identity) + ': '}"
            f"errors: {counts.count(Severity.ERROR)}, warnings: {counts.count(Severity.WARNING)}"
        )
    raise typer.Exit(exit_for(findings))


def synthesized(folder: Path, stage: Stage, settings: Path | None, program: CdkProgram) -> Plan:
    """Synthesize the app of a folder. Raises: NotDeployed; SettingsError."""
    assembly = folder / ASSEMBLY
    arguments = ["synth", "--quiet", "--output", str(assembly)]
    arguments += ["--context", f"{STAGE_CONTEXT}={stage}"]
    if settings is not None:
        arguments += ["--context", f"settings={settings.resolve()}"]
    if program.run(arguments, folder=folder, environment=os.environ, printed=Printed.NOWHERE):
        raise NotDeployed("the CDK app could not be synthesized, as it says above")
    return read_plan(assembly, stage)


def _folder() -> Path:
    folder = project_folder()
    if folder is None or not (folder / "cdk.json").is_file():
        raise SettingsError(
            f"there is no project with {DEFAULT_FILE} and cdk.json in {Path.cwd()} or above;"
            f" `{called_as()} init .` makes one"
        )
    return folder


def _stage(folder: Path, settings: Path | None, asked: Stage | None) -> Stage:
    return asked or load_system(settings or folder / DEFAULT_FILE).stage


def _clients(plan: Plan) -> Clients:
    # imported here: it takes longer than most commands
    import boto3

    return Clients(boto3.Session(region_name=plan.region))


def _about(plan: Plan, identity: Identity) -> str:
    names = ", ".join(plan.systems) or "of this app"
    said = f"system {names}, {plan.stage}, account {identity.account} in {identity.region}"
    if plan.stage is Stage.DEVELOPMENT:
        said += " (destroying its stacks will delete the job table, all messages and empty buckets)"
    return said


def _run_cdk(
    plan: Plan, folder: Path, program: CdkProgram, client: Clients, *, options: tuple[str, ...]
) -> None:
    """Deploy all stacks. If that fails or is broken off, say what is left. Raises: NotDeployed."""
    arguments = ["deploy", "--all", "--app", str(plan.folder), *options]
    try:
        code = program.run(
            arguments, folder=folder, environment=os.environ, printed=Printed.NEXT_TO_RESULT
        )
    except KeyboardInterrupt:
        say_what_is_left(plan, client)
        raise
    if code:
        say_what_is_left(plan, client)
        raise NotDeployed("the deployment failed, as the CDK says above")


def say_what_is_left(plan: Plan, client: Clients) -> None:
    """What a failed deployment left, in which state, and what that costs by the hour."""
    try:
        deployed = look(plan, client, list_prices())
    except (BotoCoreError, ClientError) as problem:
        note(
            f"what is left could not be read ({problem}), and may cost something: look at the"
            " stacks in CloudFormation's console"
        )
        return
    for stack in deployed.stacks:
        reason = "" if stack.reason is None else f": {stack.reason}"
        note(f"stack {stack.name}: {stack.status or 'does not exist'}{reason}")
    if all(stack.status is None for stack in deployed.stacks):
        note("nothing was made, and nothing costs anything; correct it and deploy again")
        return
    note(f"what is left costs {cost_text(list(deployed.lines), list_prices())}")
    note(
        f"correct it and deploy again, which goes on from there; or remove all of it:"
        f" {called_as()} cdk destroy --all"
    )


def _smoke(plan: Plan, client: Clients, timeout: timedelta) -> list[Smoked]:
    """Run a job in each queue of each system. Raises: AccessProblem."""
    s3 = client("s3")
    found: list[Smoked] = []
    for name in plan.systems:
        system = RemoteJob.connect(name, session=client.session)
        note(f"system {name}: a job in each of its queues ({', '.join(system.queues)})")
        smoke = Smoke(
            system,
            put=lambda bucket, key, body: s3.put_object(Bucket=bucket, Key=key, Body=body),
            say=note,
            monotonic=time.monotonic,
            sleep=time.sleep,
        )
        try:
            found += smoke.run(system.queues, timeout=timeout)
        except (AccessProblem, ClientError) as problem:
            raise AccessProblem(
                f"system {name} is deployed, and no job was tried: {problem}; attach its creator's"
                " policy to these credentials (docs/permissions.md), or deploy with --no-smoke"
            ) from problem
    return found


def _show(
    plan: Plan,
    identity: Identity,
    deployed: Deployed,
    smoked: list[Smoked],
    findings: list[Finding],
    *,
    as_json: bool,
) -> None:
    if as_json:
        formats.to_json(
            out,
            {
                "systems": plan.systems,
                "stage": plan.stage,
                "account": identity.account,
                "region": identity.region,
                "stacks": [asdict(one) for one in deployed.stacks],
                "idle_dollars_an_hour": sum(line.dollars_an_hour for line in deployed.lines),
                "idle": [asdict(line) for line in deployed.lines],
                "smoke": [asdict(one) for one in smoked],
                "findings": [asdict(one) for one in findings],
            },
        )
        return
    for stack in deployed.stacks:
        say(f"stack {stack.name}: {stack.status}")
    for one in smoked:
        say(f"queue {one.queue}: {one.verdict}: {one.text}")
    say(f"deployed: {_about(plan, identity)}")
    say(f"while idle it costs {cost_text(list(deployed.lines), list_prices())}")
