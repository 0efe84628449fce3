"""What `make audit` finds, and that it fails when it looked at nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from audit.__main__ import judge
from audit.advisories import npm_advisories, python_advisories
from audit.bills import TARGETS, Component, read_bill
from audit.licences import Accepted, accepted, refusal
from audit.problem import AuditProblem
from remotejob.cdk import bundle

ROOT = Path(__file__).resolve().parents[2]
SAID = Accepted(
    spdx=frozenset({"MIT", "Apache-2.0"}),
    classifiers=frozenset({"License :: OSI Approved :: BSD License"}),
    packages={"known": "MIT: its README says so"},
)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "lock.txt"
    file.write_text(f"six==1 --hash=sha256:{64 * '0'}\n")
    return file


def component(name: str, *licences: str) -> Component:
    return Component(name=name, version="1", licences=licences)


@pytest.mark.parametrize(
    "licences",
    [
        ("MIT",),
        ("MIT", "Apache-2.0"),
        ("MIT OR GPL-3.0-only",),
        ("MIT AND Apache-2.0",),
        ("License :: OSI Approved :: BSD License",),
        ("License :: OSI Approved", "MIT"),
    ],
)
def test_a_licence_that_is_accepted_passes(licences: tuple[str, ...]) -> None:
    assert refusal(component("some", *licences), SAID) is None


@pytest.mark.parametrize(
    ("licences", "said"),
    [
        ((), "declares no licence"),
        (("License :: OSI Approved",), "declares no licence"),
        (("GPL-3.0-only",), "GPL-3.0-only is not accepted"),
        (("MIT AND GPL-3.0-only",), "is not accepted"),
        (("MIT", "GPL-3.0-only"), "GPL-3.0-only is not accepted"),
        (("MIT OR",), "is not accepted"),
        (("nobody's own licence",), "is not accepted"),
    ],
)
def test_any_other_licence_is_named(licences: tuple[str, ...], said: str) -> None:
    assert said in (refusal(component("some", *licences), SAID) or "")


def test_a_package_whose_licence_we_looked_up_passes() -> None:
    assert refusal(component("known"), SAID) is None


def test_each_package_we_looked_up_has_its_reason() -> None:
    assert all(":" in reason for reason in accepted().packages.values())


def test_an_empty_bill_fails(tmp_path: Path) -> None:
    path = tmp_path / "empty.cdx.json"
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "components": []}))

    with pytest.raises(AuditProblem, match="lists no package"):
        read_bill("worker", path)


def pip_audit_says(said: object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put in place of pip-audit a program that prints this, for databases are beyond our reach."""
    (folder / "pip_audit.py").write_text(
        f"print({said if isinstance(said, str) else json.dumps(said)!r})"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


SKIPPED = {"name": "six", "skip_reason": "Dependency not found"}
CLEAN = {"name": "six", "version": "1", "vulns": []}
FAULTY = {"name": "six", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}


@pytest.mark.parametrize(
    ("dependencies", "said"),
    [
        ([], "0 of 0 packages could not be looked up (there are none)"),
        ([SKIPPED, SKIPPED], "2 of 2 packages could not be looked up (Dependency not found)"),
        ([CLEAN, SKIPPED], "1 of 2 packages could not be looked up"),
        ([FAULTY, CLEAN], "advisory: worker: six 1: CVE-1, mended in 2"),
    ],
)
def test_what_was_not_looked_up_or_was_found_fails(
    dependencies: list[object],
    said: str,
    lock: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pip_audit_says({"dependencies": dependencies}, tmp_path, monkeypatch)

    problems = judge("worker", python_advisories(lock))

    assert [each for each in problems if said in each]


def test_a_clean_lookup_of_every_package_passes(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_audit_says({"dependencies": [CLEAN, CLEAN]}, tmp_path, monkeypatch)

    assert judge("worker", python_advisories(lock)) == []


def test_a_package_from_git_is_said_and_stops_no_lookup(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with lock.open("a") as more:
        more.write(f"mine @ git+https://example.org/mine@{40 * '0'}\n")
    pip_audit_says({"dependencies": [CLEAN]}, tmp_path, monkeypatch)

    assert judge("worker", python_advisories(lock)) == []
    assert "advisories: worker: mine comes from git" in capsys.readouterr().out


def test_a_tool_that_fails_is_no_clean_lookup(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_audit_says("no json", tmp_path, monkeypatch)
    (tmp_path / "pip_audit.py").write_text("import sys; sys.exit('no route to the database')")

    (problem,) = judge("worker", python_advisories(lock))

    assert "no route to the database" in problem


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ({"vulnerabilities": {}}, []),
        ({"vulnerabilities": {"aws-cdk": {"severity": "high"}}}, ["advisory: cdk: aws-cdk: high"]),
        ({"message": "405 Method Not Allowed"}, ["1 of 1 packages could not be looked up (405"]),
    ],
)
def test_the_same_holds_for_npm(said: object, problems: list[str]) -> None:
    npm = [sys.executable, "-c", f"print({json.dumps(said)!r})"]

    found = judge("cdk", npm_advisories(npm))

    assert len(found) == len(problems)
    assert all(wanted in each for wanted, each in zip(problems, found, strict=True))


def test_the_bills_are_for_the_platforms_we_deploy_to() -> None:
    targets = {target.name: target for target in TARGETS}
    image = (ROOT / "worker_container" / "Dockerfile").read_text()

    assert f"FROM ${{REGISTRY}}/python:{targets['worker'].python}." in image
    assert str(targets["worker"].platform).startswith("x86_64-manylinux")
    assert targets["functions"].python == bundle.PYTHON
    assert str(targets["functions"].platform).startswith("aarch64-manylinux")


@pytest.mark.exhaustive
def test_the_command_lists_what_we_ship(tmp_path: Path) -> None:
    """The tools are installed, and every licence is accepted."""
    done = subprocess.run(
        ["make", "audit", "ADVISORIES=no"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "advisories: not looked up, as asked" in done.stdout
    for name, least in {"worker": 15, "functions": 8, "development": 80, "cdk": 1}.items():
        bill = json.loads((ROOT / "build" / "audit" / f"{name}.cdx.json").read_text())
        assert bill["bomFormat"] == "CycloneDX"
        assert len(bill["components"]) >= least
