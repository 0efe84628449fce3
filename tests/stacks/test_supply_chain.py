"""What is installed is what was locked: images by digest, packages by hash, no addresses."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from audit.locks import read_lock

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "worker_container" / "Dockerfile").read_text()
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def commands() -> list[str]:
    """The Dockerfile's instructions, each on one line, without comments."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines()]


def test_every_base_image_is_named_by_its_digest() -> None:
    images = [line.split()[1] for line in commands() if line.startswith("FROM ")]

    assert images
    assert [each for each in images if not re.search(r"@sha256:[0-9a-f]{64}$", each)] == []


def test_the_image_installs_only_wheels_with_locked_hashes() -> None:
    by_pip, by_uv = (line for line in commands() if re.search(r"\bpip (install|sync)\b", line))

    assert "--require-hashes" in by_pip
    assert by_pip.endswith("--requirement requirements/uv.txt")
    assert "options=$(python -m audit.locks requirements/worker.txt) && uv pip sync" in by_uv
    assert " $options " in by_uv
    assert by_uv.endswith("requirements/worker.txt")
    assert all("--only-binary :all:" in each for each in (by_pip, by_uv))


def test_the_build_is_sent_what_it_copies_and_no_more() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()

    copied = {
        file
        for line in commands()
        if line.startswith("COPY ") and not line.startswith("COPY --from")
        for file in line.split()[1:-1]
    }
    assert {"requirements/worker.txt", "audit/locks.py"} < copied
    assert {f"!{file.rstrip('/')}" for file in copied} == {
        line for line in sent if line.startswith("!")
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_locked_package_has_hashes_and_no_address(lock: Path) -> None:
    packages = read_lock(lock)

    assert packages
    assert [each.name for each in packages if "://" in each.text and not each.commit] == []


def test_the_command_line_of_the_cdk_is_locked_with_integrity_and_no_address() -> None:
    folder = ROOT / "remotejob/cli/deploy/cdk"
    lock = json.loads((folder / "package-lock.json").read_text())
    wanted = json.loads((folder / "package.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}

    assert packages
    assert [name for name, each in packages.items() if "sha512-" not in each["integrity"]] == []
    assert "://" not in json.dumps(lock)
    assert lock["packages"][""]["dependencies"] == wanted["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", each) for each in wanted["dependencies"].values())


@pytest.mark.parametrize("target", ["deploy", "bootstrap"])
def test_the_commands_that_deploy_run_the_locked_command_line(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "npx" not in done.stdout
    assert ".tools/cdk/node_modules/aws-cdk/bin/cdk" in done.stdout
