"""What files of yours lack for `remotejob`. We say it, and change nothing of yours."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from remotejob.names import DISTRIBUTION

_Check = Callable[[str], Iterator[str]]


def advice(folder: Path, kept: list[str], *, wanted: Mapping[str, bytes]) -> list[str]:
    """What to add to the files that were kept, one line for each thing.

    wanted: what a new project has in them.
    """
    said = []
    for name in kept:
        try:
            text = (folder / name).read_text(encoding="utf-8-sig")
        except (OSError, ValueError):
            # no text: whoever wrote it knows
            continue
        if text.encode() == wanted[name]:
            continue
        said += [f"{name}: {line}" for line in _CHECKS.get(name, _nothing)(text)]
    return said


def _nothing(_: str) -> Iterator[str]:
    return iter(())


def _pyproject(text: str) -> Iterator[str]:
    try:
        project = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        yield f"not TOML ({problem}); correct it, and run this again"
        return
    extras = _table(project, "project", "optional-dependencies")
    groups = _table(project, "dependency-groups")
    if not _names_us(_table(project, "project").get("dependencies")):
        yield f'add "{DISTRIBUTION}[worker]" to the dependencies'
    if not any(_names_us(packages) for packages in [*extras.values(), *groups.values()]):
        yield f'add "{DISTRIBUTION}[local]" and "pytest>=9" to what you develop with'


def _app(text: str) -> Iterator[str]:
    if "remotejob.cdk" not in text:
        yield (
            "make a RemoteJobSystem from remotejob.cdk in your app, with"
            " worker=WorkerImage(folder=...)"
        )


def _cdk(text: str) -> Iterator[str]:
    if "app.py" not in text:
        yield 'let "app" run app.py, such as "app": "python app.py"'


def _gitignore(text: str) -> Iterator[str]:
    ignored = {line.strip().strip("/") for line in text.splitlines()}
    for wanted, why in _IGNORED.items():
        if wanted not in ignored:
            yield f"add /{wanted}, {why}"


def _dockerignore(text: str) -> Iterator[str]:
    lines = {line.strip().strip("/") for line in text.splitlines()}
    for wanted in (".venv", *_IGNORED):
        if not lines & {wanted, "*"}:
            yield f"add {wanted}, which no image needs"


_IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "build": "which is generated",
        "cdk.out": "which is generated",
        "secrets.local.toml": "where `remotejob local` finds secrets",
    }
)

_CHECKS: Final[Mapping[str, _Check]] = MappingProxyType(
    {
        ".dockerignore": _dockerignore,
        ".gitignore": _gitignore,
        "app.py": _app,
        "cdk.json": _cdk,
        "pyproject.toml": _pyproject,
    }
)


def _names_us(packages: Any) -> bool:
    listed = packages if isinstance(packages, list) else []
    return any(isinstance(one, str) and one.startswith(DISTRIBUTION) for one in listed)


def _table(document: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    found: Any = document
    for key in keys:
        found = found.get(key, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}
