"""The workers: what ECS and their signs of life say, their images and their versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.findings import Finding, Severity
from remotejob.domain.fleet import Rollout
from remotejob.domain.text import counted
from remotejob.jobs.queries.why.ecs import EcsView, incidents
from remotejob.jobs.queries.workers import STOPPED, workers
from remotejob.names import Env, Part, installed_version

_ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[^.]+)\.[^/]+/(?P<repository>[^@:]+)"
    r"(@(?P<digest>sha256:[0-9a-f]+)|:(?P<tag>.+))?"
)


def check_services(context: Context) -> Iterator[Finding]:
    """What keeps workers from starting."""
    fleet, now_ms = context.installation.fleet, context.installation.clock.now_ms()
    for queue in sorted(context.installation.queues):
        place = f"workers of queue {queue}"
        described = fleet.describe(queue)
        if described is None:
            yield Finding(
                place=place,
                what="no workers were deployed for it",
                remedy="deploy the workers stack; if only programs that take jobs by hand serve "
                "the queue, set its max_workers to 0",
                severity=Severity.WARNING,
            )
            continue
        status = fleet.status(queue)
        if status is None:
            yield Finding(
                place=place,
                what=f"the ECS service {described.service} does not exist",
                remedy="deploy the workers stack again, with a change of the queue",
            )
            continue
        if status.blocked:
            yield Finding(
                place=place,
                what="a deployment waits for workers that are protected, because they run jobs",
                remedy="wait until their jobs have ended, or cancel these",
                severity=Severity.WARNING,
            )
        if status.rollout is Rollout.FAILED:
            yield Finding(
                place=place,
                what="the last deployment failed: its workers did not stay up",
                remedy="read the log of a worker that stopped, and deploy again",
            )
        view = EcsView(deployed=True, status=status, stopped=fleet.stopped(queue))
        recent = incidents(view, now_ms=now_ms)
        if recent:
            yield Finding(
                place=place,
                what=f"{recent[0].trouble.meaning}: {recent[0].said}",
                remedy=recent[0].trouble.remedy,
            )
        elif status.failed_starts:
            yield Finding(
                place=place,
                what=f"{counted(status.failed_starts, 'worker')} of the current deployment failed "
                "to start",
                remedy="read the service's events in ECS, and the worker's log",
            )


def check_signs(context: Context) -> Iterator[Finding]:
    """What workers say of themselves."""
    allowed = context.installation.skew
    for queue in sorted(context.installation.queues):
        for worker in workers(context.installation, queue):
            place = f"worker {worker.name} of queue {queue}"
            if worker.cannot_start is not None:
                yield Finding(
                    place=place,
                    what=f"it could not start: {worker.cannot_start}",
                    remedy="mend what it says, and deploy the workers again",
                )
            if not worker.alive:
                continue
            # the check of the switches says once what each worker of a stopped queue says
            stopped = worker.short_of == (STOPPED,)
            for what in (None if stopped else worker.shortage, worker.trouble):
                if what is not None:
                    yield Finding(
                        place=place, what=what, remedy="mend what it says; it tries again by itself"
                    )
            if abs(worker.clock_ahead) > allowed:
                ahead = worker.clock_ahead.total_seconds()
                yield Finding(
                    place=place,
                    what=f"its clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}",
                    remedy="let its machine take the time from the network",
                )


def check_images(context: Context) -> Iterator[Finding]:
    """Whether ECR has the images that ECS pulls."""
    ecs, ecr = context.client("ecs"), context.client("ecr")
    for task in context.inventory.of("AWS::ECS::TaskDefinition", Part.WORKERS):
        described = ecs.describe_task_definition(taskDefinition=task.physical_id)
        for container in described["taskDefinition"]["containerDefinitions"]:
            image = _ECR.fullmatch(container["image"])
            if image is not None and not _has(ecr, image):
                yield Finding(
                    place=f"image {container['image']}",
                    what="ECR does not have it: no worker starts",
                    remedy="deploy again, so that it is pushed; check the repository's lifecycle "
                    "rules, which may have deleted it",
                )


def _has(ecr: Any, image: re.Match[str]) -> bool:
    digest = image["digest"]
    wanted = {"imageDigest": digest} if digest else {"imageTag": image["tag"] or "latest"}
    try:
        ecr.describe_images(
            registryId=image["account"], repositoryName=image["repository"], imageIds=[wanted]
        )
    except (
        ecr.exceptions.ImageNotFoundException,
        ecr.exceptions.RepositoryNotFoundException,
    ):
        return False
    return True


def check_versions(context: Context) -> Iterator[Finding]:
    """Whether this program, the functions and the workers have one version of the library."""
    own = installed_version()
    client = context.client("lambda")
    for function in context.inventory.of("AWS::Lambda::Function", Part.FUNCTIONS):
        live = client.get_function_configuration(FunctionName=function.physical_id)
        version = live.get("Environment", {}).get("Variables", {}).get(Env.VERSION)
        if version is not None and version != own:
            yield _differs(f"function {function.physical_id}", version, own)
    for queue in sorted(context.installation.queues):
        alive = [one for one in workers(context.installation, queue) if one.alive is not False]
        for version in sorted({one.version for one in alive} - {own}):
            yield _differs(f"workers of queue {queue}", version, own)


def _differs(place: str, version: str, own: str) -> Finding:
    return Finding(
        place=place,
        what=f"it has version {version} of remotejob, and this program {own}",
        remedy="install the same version here, or deploy; a rollback may leave records that an "
        "older version cannot read",
        severity=Severity.WARNING,
    )
