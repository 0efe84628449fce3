"""Systems synthesized for the tests, each once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from remotejob.cdk import RemoteJobApp
from remotejob.cdk.bundle import bundle
from stacks.system import ROOT, add_system
from tests.stacks.templates import System

SETTINGS = """
[system]
name = "{name}"
stage = "{stage}"
lease_seconds = {lease_seconds}
retention_days = {retention_days}
{system}

[queues.default]
tasks = ["thumbnail"]
concurrency = {concurrency}
max_workers = {max_workers}

{more}
"""
DEFAULTS = {
    "name": "test",
    "stage": "development",
    "lease_seconds": 60,
    "retention_days": 30,
    "concurrency": 4,
    "max_workers": 10,
    "system": "",
    "more": "",
}
SECOND_QUEUE = """
[queues.video]
tasks = ["transcode", "probe"]
cpu = 4096
memory_mib = 16384
"""

Synthesize = Callable[..., System]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run what is here: the CDK takes seconds to start, and systems are shared."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("the stacks"))


def build_app(settings: Path, outdir: Path) -> RemoteJobApp:
    """The checkout's app with these settings, not yet synthesized."""
    app = RemoteJobApp(ROOT, outdir=outdir)
    add_system(app, settings)
    return app


@pytest.fixture(scope="session")
def synthesize_whole(tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """Synthesize with settings of choice, as it is deployed. The same settings twice are one."""
    return _synthesizing(tmp_path_factory, bundle)


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """The same, with functions whose code is one small file instead of thousands."""
    code = tmp_path_factory.mktemp("code")
    (code / "code.py").write_text("")
    return _synthesizing(tmp_path_factory, lambda *_, **__: code)


def _synthesizing(
    tmp_path_factory: pytest.TempPathFactory, bundled: Callable[..., Path]
) -> Synthesize:
    made: dict[str, System] = {}

    def synthesize(**changes: object) -> System:
        text = SETTINGS.format(**{**DEFAULTS, **changes})
        if text not in made:
            folder = tmp_path_factory.mktemp("system")
            settings = folder / "settings.toml"
            settings.write_text(text)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("remotejob.cdk.functions_part.bundle", bundled)
                build_app(settings, folder / "cdk.out").synth()
            name = str({**DEFAULTS, **changes}["name"])
            made[text] = System(folder=folder / "cdk.out", name=name)
        return made[text]

    return synthesize


@pytest.fixture(scope="session")
def system(synthesize: Synthesize) -> System:
    """A system for development, with two queues."""
    return synthesize(more=SECOND_QUEUE)


@pytest.fixture(scope="session")
def production(synthesize: Synthesize) -> System:
    """The same, for production."""
    return synthesize(stage="production", more=SECOND_QUEUE)


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS.format(**DEFAULTS))
    return file
