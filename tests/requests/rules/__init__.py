"""What AWS refuses in a request, as its models and its pages say it, not as an emulator does.

`faults` checks one request. Each rule is a few lines with the page it is from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.requests.rules import dynamodb, s3, sqs
from tests.requests.rules.model import faults_by_model

_WRITTEN: Final[Mapping[str, Callable[[str, Mapping[str, Any]], list[str]]]] = {
    "dynamodb": dynamodb.faults,
    "s3": s3.faults,
    "sqs": sqs.faults,
}


def faults(service: str, operation: str, request: Mapping[str, Any]) -> list[str]:
    """Why AWS would refuse the request; empty if it would not."""
    found = faults_by_model(service, operation, request)
    written = _WRITTEN.get(service)
    # the written rules may rely on the shape
    if not found and written is not None:
        found = written(operation, request)
    return found
