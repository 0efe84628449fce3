"""An image that others build, from an ECR repository of the app."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecr as ecr

from remotejob.cdk import RemoteJobApp, RemoteJobSystem, RepositoryImage
from remotejob.domain.errors import SettingsError
from remotejob.settings import load
from tests.stacks.own_apps import PROJECT

DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def app(tmp_path: Path) -> RemoteJobApp:
    return RemoteJobApp(PROJECT, outdir=tmp_path)


@pytest.fixture
def image(app: RemoteJobApp) -> RepositoryImage:
    platform = cdk.Stack(app, "platform")
    repository = ecr.Repository.from_repository_name(platform, "Images", "team/scans")
    return RepositoryImage(repository=repository, tag_or_digest=DIGEST)


def of_kind(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [r["Properties"] for r in template["Resources"].values() if r["Type"] == kind]


def test_workers_run_it_and_their_agent_may_pull_it(
    app: RemoteJobApp, image: RepositoryImage
) -> None:
    RemoteJobSystem(app, "Jobs", settings=app.settings, worker=image)
    template = app.synth().get_stack_by_name("remotejob-own-workers").template
    (task,) = of_kind(template, "AWS::ECS::TaskDefinition")
    (container,) = task["ContainerDefinitions"]
    assert f"/team/scans@{DIGEST}" in json.dumps(container["Image"])
    pulls = [
        statement["Resource"]
        for policy in of_kind(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
    ]
    assert len(pulls) == 1
    assert json.dumps(pulls[0]).endswith(':repository/team/scans"]]}')


def test_a_dockerfile_of_a_queue_would_never_be_built_and_is_refused(
    app: RemoteJobApp, image: RepositoryImage
) -> None:
    settings = load(app.settings)
    queue = replace(settings.queues["default"], dockerfile="worker_container/Dockerfile")
    with pytest.raises(SettingsError, match=r"\[queues\.default\]: dockerfile = .*builds none"):
        RemoteJobSystem(
            app, "Jobs", settings=replace(settings, queues={"default": queue}), worker=image
        )
