"""The plugin in projects of their own: found by its entry point, run by pytest in processes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.projects import pytest_in, write_files

LOADS = """
import sys
import remotejob.testing.plugin
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"boto3", "botocore", "moto", "aws_cdk"}, loaded
assert "remotejob.tasks" not in sys.modules and "remotejob.domain" not in sys.modules
"""

PROJECT = {
    "remotejob.toml": """
[queues.default]
tasks = ["shout"]
tasks_module = "shouting.tasks"

[[routes]]
prefix = "in/"
task = "shout"
""",
    "shouting/__init__.py": "",
    "shouting/tasks.py": """
import os
from pathlib import Path
from remotejob import task

with Path("imports.txt").open("a") as file:
    file.write(f"{os.getpid()}\\n")

@task("shout")
def shout(job):
    return job.download().read_text().upper()
""",
    "deep/remotejob.toml": '[queues.nested]\ntasks = ["own"]\n',
    "deep/test_nearest.py": """
def test_the_nearest_settings_count(remotejob_system):
    assert remotejob_system.client.queues == ("nested",)
""",
    "tests/test_first.py": """
from remotejob import task

def test_upload(remotejob_system):
    job = remotejob_system.upload("in/a.txt", b"hello")
    assert job.wait().result == "HELLO"

def test_own_task():
    @task("own")
    def own(job): ...

def test_each_system_is_empty(remotejob_system):
    assert remotejob_system.client.jobs() == []
""",
    "tests/test_second.py": """
import pytest
from remotejob import RemoteJob, task
from remotejob.tasks import registry
from shouting.tasks import shout

def test_own_task():
    assert "own" not in registry
    task("own")(shout)

@pytest.mark.parametrize("number", range(3))
def test_upload(remotejob_system, number):
    job = remotejob_system.upload("in/a.txt", b"hello")
    remotejob_system.drain()
    assert job.refresh().result == "HELLO"
    assert RemoteJob.connect() is remotejob_system.client
    remotejob_system.faults.kill_worker()
""",
}

ALONE = """
import pytest
from remotejob.testing import run_task

def test_a_unit_needs_no_settings():
    assert run_task(lambda job: job.data, data=3).result == 3

def test_a_system_does(remotejob_system):
    pass

class TestOwn:
    @pytest.fixture
    def remotejob_settings(self):
        return '[queues.default]\\ntasks = ["own"]'

    def test_text(self, remotejob_system):
        assert remotejob_system.client.queues == ("default",)
"""


def test_it_is_an_entry_point() -> None:
    [found] = entry_points(group="pytest11", name="remotejob")
    assert found.value == "remotejob.testing.plugin"


def test_it_loads_nothing_of_the_library_until_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
def test_a_project_is_tested_in_two_processes(tmp_path: Path) -> None:
    project = tmp_path / "my project"

    write_files(project, PROJECT)
    done = pytest_in(project, "-n", "2", home=tmp_path)

    # each test of the third kind injects a fault that does not happen
    assert "8 passed, 3 errors" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("FaultNotMet: kill_worker(at='end', nth=1) did not happen") >= 3
    imports = (project / "imports.txt").read_text().split()
    assert len(imports) == len(set(imports)) <= 2


def test_without_settings_the_fixture_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "an empty folder"

    write_files(folder, {"test_alone.py": ALONE})
    done = pytest_in(folder, "-p", "no:xdist", home=tmp_path)

    assert "2 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "SettingsError: remotejob_system needs settings" in done.stdout
    assert str(folder) in done.stdout
    assert sorted(file.name for file in folder.iterdir() if file.suffix == ".toml") == []


@pytest.mark.exhaustive
def test_it_can_be_turned_off(tmp_path: Path) -> None:
    write_files(tmp_path, {"test_off.py": "def test_it(remotejob_system): ...\n"})
    done = pytest_in(tmp_path, "-p", "no:remotejob", home=tmp_path)
    assert "fixture 'remotejob_system' not found" in done.stdout
