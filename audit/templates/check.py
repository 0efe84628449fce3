"""The command: `python -m audit.templates.check FOLDER`; exits with 1 if something is found.

Source: the documentation of cfn-lint, "Usage", and of checkov, "CLI command reference".
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from audit.problem import AuditProblem
from audit.templates.findings import Found, accepted, judge
from audit.templates.rules import found_in

REGIONS: Final = (
    "us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2", "ap-northeast-1",
)  # fmt: skip
_TOOLS: Final = Path(sys.executable).parent
_SUFFIX: Final = ".template.json"
_LINT_FAILED: Final = 1
"""cfn-lint's other codes are bits of what it found."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at the templates of each stage, all tools at a time."""
    (name,) = sys.argv[1:] if arguments is None else arguments
    templates = {file: json.loads(file.read_text()) for file in _templates(Path(name))}
    try:
        with ThreadPoolExecutor() as pool:
            lint = pool.submit(lambda: list(_cfn_lint(templates)))
            checked = pool.submit(lambda: list(_checkov(templates)))
        own = [
            one
            for file, template in templates.items()
            for one in found_in(template, stage=file.parent.name)
        ]
        found = [*lint.result(), *checked.result(), *own]
    except AuditProblem as problem:
        print(f"the templates could not be checked: {problem}", file=sys.stderr)
        return 1
    known = accepted()
    problems = judge(found, known)
    for each in problems:
        print(f"the templates: {each}", file=sys.stderr)
    print(
        f"templates: {len(templates)} in {len(REGIONS)} regions; {len(found)} findings, "
        f"{len(known)} reasons"
    )
    return 1 if problems else 0


def _templates(folder: Path) -> list[Path]:
    found = sorted(folder.glob(f"*/*{_SUFFIX}"))
    if not found:
        raise SystemExit(f"there are no templates in {folder}; run `make templates`")
    return found


def _cfn_lint(templates: Mapping[Path, Any]) -> Iterator[Found]:
    command = [str(_TOOLS / "cfn-lint"), "--format", "json", "--regions", *REGIONS]
    for each in _json([*command, "--template", *map(str, templates)], failed=_LINT_FAILED):
        file = Path(each["Filename"])
        path = each["Location"].get("Path") or []
        resource = "-"
        if path[:1] == ["Resources"] and len(path) > 1:
            resource = f"{templates[file]['Resources'][path[1]]['Type']}.{path[1]}"
        yield Found(
            rule=each["Rule"]["Id"],
            stage=file.parent.name,
            resource=resource,
            said=each["Message"],
        )


def _checkov(templates: Mapping[Path, Any]) -> Iterator[Found]:
    command = [str(_TOOLS / "checkov"), "--framework", "cloudformation"]
    command += ["--compact", "--quiet", "--skip-download", "--output", "json", "--soft-fail"]
    said = _json([*command, "--file", *map(str, templates)], failed=_LINT_FAILED)
    if said["summary"]["parsing_errors"] or not said["summary"]["resource_count"]:
        raise AuditProblem(f"checkov could not read the templates: {said['summary']}")
    for each in said["results"]["failed_checks"]:
        yield Found(
            rule=each["check_id"],
            stage=Path(each["file_abs_path"]).parent.name,
            resource=each["resource"],
            said=each["check_name"],
        )


def _json(command: Sequence[str], *, failed: int) -> Any:
    """What a tool printed. Raises: AuditProblem, if that is no JSON."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said: Any = None
    if done.returncode != failed:
        with suppress(ValueError):
            said = json.loads(done.stdout)
    if said is None:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise AuditProblem(
            f"{command[0]} ended with {done.returncode}: {words[-1] if words else 'no word'}"
        )
    return said


if __name__ == "__main__":
    sys.exit(main())
