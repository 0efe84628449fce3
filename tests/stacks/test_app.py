"""The app as a whole: its checks, its assembly, and what a change changes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_cdk import aws_s3 as s3
from constructs import Construct
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from remotejob.cdk import node
from remotejob.domain.errors import SettingsError
from stacks.system import ROOT
from tests.stacks.conftest import Synthesize, build_app
from tests.stacks.templates import ASSET_HASH, System


@pytest.mark.parametrize("part", ["storage", "functions", "workers"])
def test_template_is_as_it_was(
    synthesize_whole: Synthesize, snapshot: SnapshotAssertion, part: str
) -> None:
    """Shows what a change changes: `pytest tests/stacks --snapshot-update`, then read the diff."""
    template = synthesize_whole(stage="production").scrubbed(part)
    assert template == snapshot(name=part, extension_class=JSONSnapshotExtension)


def test_snapshots_hold_no_asset_hash(synthesize_whole: Synthesize) -> None:
    for part in ("storage", "functions", "workers"):
        assert not ASSET_HASH.search(json.dumps(synthesize_whole().scrubbed(part)))


def test_an_open_finding_fails_the_synth(settings_file: Path, tmp_path: Path) -> None:
    app = build_app(settings_file, tmp_path / "cdk.out")
    storage = app.node.find_child("remotejob-test-storage")
    assert isinstance(storage, Construct)
    s3.Bucket(storage, "Careless")
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = (tmp_path / "cdk.out" / "validation-report.json").read_text()
    assert "AwsSolutions-S1" in report
    assert "Careless" in report


def test_this_is_acknowledged_and_no_more(synthesize_whole: Synthesize) -> None:
    report = json.loads((synthesize_whole().folder / "validation-report.json").read_text())
    assert {source["conclusion"] for source in report["pluginReports"]} == {"success"}
    accepted = [
        (finding["acknowledgedId"].split("-")[1].split("[")[0], finding["acknowledgedAt"])
        for source in report["pluginReports"]
        for finding in source["suppressedViolations"]
        if len(finding["reason"]) > 30
    ]
    assert sorted(accepted) == [
        ("ECS2", "remotejob-test-workers/Queues/default/Task"),
        ("ECS4", "remotejob-test-workers/Clusters/default"),
        *[("IAM5", "remotejob-test-functions/Scheduler/Function/Role")] * 4,
        *[("IAM5", "remotejob-test-functions/Uploads/OnUpload/Role")] * 2,
        *[("IAM5", "remotejob-test-storage/Groups/Admin")] * 5,
        *[("IAM5", "remotejob-test-storage/Groups/Creator")] * 4,
        *[("IAM5", "remotejob-test-storage/Groups/Manager")] * 4,
        *[("IAM5", "remotejob-test-storage/Groups/Worker")] * 4,
        *[("IAM5", "remotejob-test-workers/Doctor")] * 25,
        ("IAM5", "remotejob-test-workers/Queues/default/AgentRole"),
        *[("IAM5", "remotejob-test-workers/Queues/default/Role")] * 7,
        *[("IAM5", "remotejob-test-workers/SchedulerScales")] * 4,
        ("SQS3", "remotejob-test-functions/Uploads/Undelivered"),
    ]


def run_app(settings: Path, out: Path) -> subprocess.CompletedProcess[str]:
    context = json.dumps({"settings": str(settings)})
    # As in a new shell: what this process set for its own Node is not passed on.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("JSII_")}
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**ours, "CDK_OUTDIR": str(out), "CDK_CONTEXT_JSON": context},
        capture_output=True,
        text=True,
        check=False,
    )


def test_python_app_py_writes_the_assembly(settings_file: Path, tmp_path: Path) -> None:
    done = run_app(settings_file, tmp_path / "cdk.out")
    # Nothing to read: no box about an old Node, no warning.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {file.name for file in (tmp_path / "cdk.out").glob("*.template.json")} == {
        "remotejob-test-storage.template.json",
        "remotejob-test-functions.template.json",
        "remotejob-test-workers.template.json",
    }


def test_python_app_py_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    done = run_app(tmp_path / "nowhere.toml", tmp_path / "cdk.out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "nowhere.toml: no such file" in done.stderr


def test_app_and_function_write_the_same(synthesize_whole: Synthesize, tmp_path: Path) -> None:
    """With and without what the CDK's command line adds to the environment."""
    settings = synthesize_whole().folder.parent / "settings.toml"
    build_app(settings, tmp_path / "again").synth()
    for part in ("storage", "functions", "workers"):
        file = f"remotejob-test-{part}.template.json"
        assert (tmp_path / "again" / file).read_text() == (
            synthesize_whole().folder / file
        ).read_text()


def test_stacks_are_deployed_in_the_order_they_need_each_other(system: System) -> None:
    for part in ("functions", "workers"):
        assert "remotejob-test-storage" in system.artifact(part)["dependencies"]
    # the workers' stack lets the scheduler scale them
    assert "remotejob-test-functions" in system.artifact("workers")["dependencies"]
    assert "remotejob-test-workers" not in system.artifact("functions")["dependencies"]


def test_nothing_is_looked_up_and_nothing_needs_a_bootstrap_rule(system: System) -> None:
    manifest = json.loads((system.folder / "manifest.json").read_text())
    assert "missing" not in manifest
    for part in ("storage", "functions", "workers"):
        assert "Rules" not in system.template(part)
        assert system.artifact(part)["environment"] == "aws://unknown-account/unknown-region"


def test_two_systems_do_not_share_a_name(synthesize: Synthesize) -> None:
    one, two = (set(_names_of(synthesize(name=name))) for name in ("one", "two"))
    assert {"remotejob-one-storage", "/remotejob/one", "/remotejob/one/queues/default"} <= one
    assert one & two == set()


def _names_of(system: System) -> Iterator[str]:
    """Names of which an account has room for one, except those that CloudFormation makes up."""
    for part in ("storage", "functions", "workers"):
        yield system.artifact(part)["displayName"]
        for output in system.template(part).get("Outputs", {}).values():
            if "Export" in output:
                yield json.dumps(output["Export"])
    for resource in system.resources():
        for key, value in resource.properties.items():
            # the metric's namespace and dimensions, not its name, tell the systems apart
            shared = key in ("MetricName", "PolicyName")
            if key.endswith("Name") and isinstance(value, str) and not shared:
                yield value


def test_bad_settings_are_named_before_anything_is_built(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[queues.default]\ntasks = ["t"]\nconcurrency = 0\n')
    with pytest.raises(SettingsError, match="concurrency = 0"):
        build_app(settings, tmp_path / "cdk.out")


def test_feature_flags_are_those_recommended_but_for_two() -> None:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    # The embedded AWS has no Fn::GetStackOutput.
    assert context["@aws-cdk/core:defaultCrossStackReferences"] == "strong"
    # What this app is built of is nobody else's to collect.
    assert context["@aws-cdk/core:enableAdditionalMetadataCollection"] is False
    assert context["@aws-cdk/core:validateAgainstDefaultRules"] is True


def test_without_a_node_the_installed_wheel_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JSII_NODE", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    node.use_node()
    found = os.environ["JSII_NODE"]
    monkeypatch.setenv("JSII_NODE", found)  # put back what was there, after the test
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("v")


def test_a_node_on_the_path_or_named_by_the_caller_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JSII_NODE", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: "/somewhere/node")
    node.use_node()
    assert "JSII_NODE" not in os.environ
    monkeypatch.setenv("JSII_NODE", "/mine/node")
    monkeypatch.setattr("shutil.which", lambda _: None)
    node.use_node()
    assert os.environ["JSII_NODE"] == "/mine/node"


def test_the_image_holds_the_worker_and_nothing_else(system: System) -> None:
    (image,) = json.loads((system.folder / "remotejob-test-workers.assets.json").read_text())[
        "dockerImages"
    ].values()
    folder = system.folder / image["source"]["directory"]
    assert image["source"]["dockerFile"] == "worker_container/Dockerfile"
    assert {file.name for file in folder.iterdir()} == {
        ".dockerignore",
        "audit",
        "remotejob",
        "requirements",
        "worker_container",
    }
    # what checks the lock while the image is built
    assert sorted(f.name for f in (folder / "audit").iterdir()) == [
        "__init__.py",
        "locks.py",
        "problem.py",
    ]
    assert sorted(f.name for f in (folder / "requirements").iterdir()) == ["uv.txt", "worker.txt"]
    for left_out in ("cdk", "cli", "functions", "local", "testing", "__main__.py"):
        assert not (folder / "remotejob" / left_out).exists()
    assert not list(folder.rglob("__pycache__"))


def test_the_dockerfile_runs_as_the_user_of_the_task_definition(system: System) -> None:
    lines = (ROOT / "worker_container" / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    declared = {
        container["User"]
        for task in system.resources("AWS::ECS::TaskDefinition")
        for container in task.properties["ContainerDefinitions"]
    }
    assert {users[-1]} == declared
    # Else Fargate would mount a /tmp that only root may write to.
    assert 'VOLUME ["/tmp"]' in lines
    assert 'ENTRYPOINT ["python", "-m", "worker_container"]' in lines


def test_the_image_gives_its_worker_no_home_and_no_files_that_configure_aws() -> None:
    text = (ROOT / "worker_container" / "Dockerfile").read_text().replace("\\\n", " ")
    assert "--no-create-home --home-dir /nonexistent" in " ".join(text.split())
    settings = dict(
        pair.split("=", 1)
        for line in text.splitlines()
        if line.startswith("ENV ")
        for pair in line.split()[1:]
    )
    assert settings["HOME"] == "/nonexistent"
    assert settings["AWS_CONFIG_FILE"] == settings["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    # nor does a later line make it
    assert "/nonexistent" not in re.sub("(--home-dir |HOME=)/nonexistent", "", text)
