"""Reads a line as CloudWatch Logs would.

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format". Of the two numbers
of dimensions that its editions name, the smaller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

_UNITS: Final = {"Count", "Seconds"}
_MOST_METRICS: Final = 100
_MOST_VALUES: Final = 100
_MOST_DIMENSIONS: Final = 9
_LONGEST_NAME: Final = 255
_LONGEST_EVENT: Final = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What a line makes of metrics."""

    namespace: str
    dimensions: dict[str, str]
    at_ms: int
    values: dict[str, list[float]]

    def sum(self, name: str) -> float:
        return sum(self.values.get(name, []))


def extracted(line: str) -> Extracted | None:
    """The metrics of a line; None where it has none.

    Raises: AssertionError, where the format says MUST and the line does not.
    """
    root = json.loads(line)
    if "_aws" not in root:
        return None
    assert len(line.encode()) <= _LONGEST_EVENT
    metadata = root["_aws"]
    assert set(metadata) == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(metadata["Timestamp"], int)
    (directive,) = metadata["CloudWatchMetrics"]
    assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
    _name(directive["Namespace"])
    (names,) = directive["Dimensions"]
    assert len(names) <= _MOST_DIMENSIONS
    dimensions = {_name(name): root[name] for name in names}
    assert all(isinstance(value, str) and value for value in dimensions.values())
    assert 0 < len(directive["Metrics"]) <= _MOST_METRICS
    values = {}
    for metric in directive["Metrics"]:
        assert set(metric) <= {"Name", "Unit", "StorageResolution"}
        assert metric["Unit"] in _UNITS
        target = root[_name(metric["Name"])]
        values[metric["Name"]] = [target] if isinstance(target, int | float) else list(target)
        assert 0 < len(values[metric["Name"]]) <= _MOST_VALUES
        assert all(type(value) in (int, float) for value in values[metric["Name"]])
    return Extracted(
        namespace=directive["Namespace"],
        dimensions=dimensions,
        at_ms=metadata["Timestamp"],
        values=values,
    )


def _name(name: Any) -> str:
    assert isinstance(name, str)
    assert 0 < len(name) <= _LONGEST_NAME
    return name
