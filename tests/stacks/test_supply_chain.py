"""What is installed is what was locked: images by digest, packages by hash, no addresses."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "worker_container" / "Dockerfile").read_text()
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def commands() -> list[str]:
    """The Dockerfile's instructions, each on one line, without comments."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def test_every_base_image_is_named_by_its_digest() -> None:
    images = [line.split()[1] for line in commands() if line.startswith("FROM ")]

    assert images
    assert [each for each in images if not re.search(r"@sha256:[0-9a-f]{64}$", each)] == []


def test_the_image_installs_only_wheels_with_locked_hashes() -> None:
    installs = [
        part for line in commands() for part in line.split("&&") if " install " in f" {part} "
    ]

    assert len(installs) == 2
    for each in installs:
        assert "--require-hashes" in each
        assert "--only-binary :all:" in each
        named = re.findall(r"--requirement[s]? (\S+)", each)
        assert all((ROOT / path.lstrip("/")).is_file() for path in named)
        assert named


def test_the_build_is_sent_the_locks_that_it_installs() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()

    for lock in re.findall(r"requirements/\S+\.txt", DOCKERFILE):
        assert f"!{lock}" in sent


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_locked_package_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    packages = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))

    assert packages
    assert [each for each in packages if "--hash=sha256:" not in each] == []
    assert "://" not in text


def test_the_command_line_of_the_cdk_is_locked_with_integrity_and_no_address() -> None:
    folder = ROOT / "requirements" / "cdk"
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
