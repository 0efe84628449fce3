"""A team's own repository, deployed into the embedded AWS: one job goes through it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

FILES = {
    "app.py": """
from pathlib import Path

from remotejob.cdk import RemoteJobSystem, WorkerImage, app_in

with app_in(Path(__file__).parent) as app:
    RemoteJobSystem(app, "Words", settings=app.settings, worker=WorkerImage(folder=app.folder))
""",
    "cdk.json": '{"app": "python app.py"}\n',
    "remotejob.toml": """
[system]
name = "words"

[queues.default]
tasks = ["count-words"]

[[routes]]
prefix = "texts/"
suffixes = [".txt"]
task = "count-words"
""",
    "tasks/__init__.py": """
from remotejob import RunningJob, task


@task("count-words")
def count_words(job: RunningJob) -> dict[str, int]:
    words = job.download().read_text().split()
    job.output("first.txt", words[0].encode())
    return {"words": len(words)}
""",
    "worker_container/Dockerfile": """
FROM python:3.13-slim
ENTRYPOINT ["python", "-m", "remotejob.container"]
""",
    "texts/cat.txt": "the cat sat on the mat\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    return tmp_path


def test_an_upload_becomes_a_job_and_completes(project: Path) -> None:
    done = subprocess.run(
        ["remotejob", "local", "--process", "texts", "--results", "results", "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (job,) = json.loads(done.stdout)
    assert job["state"] == "completed"
    assert job["result"] == {"words": 6}
    (first,) = (project / "results").rglob("first.txt")
    assert first.read_text() == "the"
