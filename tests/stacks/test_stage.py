"""Which stage a system is deployed in: the safe one, unless someone asks for the other by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remotejob.cdk import RemoteJobApp, RemoteJobSystem, WorkerImage
from remotejob.domain.errors import SettingsError
from remotejob.names import STAGE_CONTEXT, Part, stack_name

PROJECT = Path(__file__).parent / "own project"


def project(folder: Path, *, settings_stage: str | None, **context: str) -> Path:
    """A folder with an app's `cdk.json` and settings that name this stage."""
    context = {"@aws-cdk/core:defaultCrossStackReferences": "strong", **context}
    (folder / "cdk.json").write_text(json.dumps({"context": context}))
    line = "" if settings_stage is None else f'stage = "{settings_stage}"'
    (folder / "remotejob.toml").write_text(
        f'[system]\nname = "own"\n{line}\n[queues.default]\ntasks = ["work"]\n'
    )
    return folder


def synthesized(folder: Path) -> tuple[bool, str]:
    """Whether the storage stack is protected, and what the command line is told."""
    app = RemoteJobApp(folder, outdir=folder / "cdk.out")
    RemoteJobSystem(app, "Jobs", settings=app.settings, worker=WorkerImage(folder=PROJECT))
    assembly = app.synth()
    messages = [one.entry.data for stack in assembly.stacks for one in stack.messages]
    manifest = json.loads((folder / "cdk.out/manifest.json").read_text())
    storage = manifest["artifacts"][stack_name("own", Part.STORAGE)]
    return storage["properties"].get("terminationProtection", False), str(messages)


def test_settings_that_name_no_stage_are_for_production(tmp_path: Path) -> None:
    assert synthesized(project(tmp_path, settings_stage=None)) == (True, "[]")


@pytest.mark.exhaustive
@pytest.mark.parametrize("key", ["stage", STAGE_CONTEXT])
@pytest.mark.parametrize("named", [None, "production"])
def test_the_context_counts_more_than_the_settings(
    tmp_path: Path, key: str, named: str | None
) -> None:
    protected, said = synthesized(project(tmp_path, settings_stage=named, **{key: "development"}))

    assert not protected
    assert "destroying its stacks deletes the job table, all messages" in said


@pytest.mark.exhaustive
def test_the_long_key_counts_more_than_the_short_one(tmp_path: Path) -> None:
    context = {"stage": "development", STAGE_CONTEXT: "production"}
    assert synthesized(project(tmp_path, settings_stage=None, **context)) == (True, "[]")


@pytest.mark.parametrize("key", ["stage", STAGE_CONTEXT])
def test_a_stage_that_there_is_not_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match=f"-c {key}='prod': use one of development, prod"):
        synthesized(project(tmp_path, settings_stage=None, **{key: "prod"}))
