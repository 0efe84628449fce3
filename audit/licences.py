"""Which licences we accept: `requirements/licences.toml`, and what a bill says beyond it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from license_expression import ExpressionError, get_spdx_licensing

from audit.bills import ROOT, Component

FILE: Final = ROOT / "requirements" / "licences.toml"
_SPDX: Final = get_spdx_licensing()


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The licences we accept, and the packages whose licence we looked up ourselves."""

    spdx: frozenset[str]
    classifiers: frozenset[str]
    packages: Mapping[str, str]


def accepted(path: Path = FILE) -> Accepted:
    """What the file says."""
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    return Accepted(
        spdx=frozenset(said["spdx"]),
        classifiers=frozenset(said["classifiers"]),
        packages=dict(said.get("packages", {})),
    )


def refusal(component: Component, what: Accepted) -> str | None:
    """Why a package's licence is not accepted; None if it is.

    A package that declares several licences is refused for any that is not accepted: which of them
    holds for what, only a person can read.
    """
    # so general that it says nothing, and always beside another
    declared = [each for each in component.licences if each != "License :: OSI Approved"]
    if not declared:
        if component.name in what.packages:
            return None
        return f"{component.name} {component.version} declares no licence"
    for licence in declared:
        if licence not in what.classifiers and not _satisfied(licence, what.spdx):
            return f"{component.name} {component.version}: {licence} is not accepted"
    return None


def _satisfied(expression: str, spdx: frozenset[str]) -> bool:
    try:
        parsed = _SPDX.parse(expression, validate=True)
    except ExpressionError:
        return False
    values = {
        symbol: _SPDX.TRUE if symbol.render() in spdx else _SPDX.FALSE for symbol in parsed.symbols
    }
    return bool(parsed.subs(values, simplify=True) == _SPDX.TRUE)
