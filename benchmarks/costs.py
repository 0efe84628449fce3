"""The cost of a million jobs at list prices, from counted requests and units, without compute.

SQS bills each 64 KB of a request as one; DynamoDB bills units, not requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.measuring import Side
from remotejob.jobs.queries.prices import Prices
from remotejob.local.metering import INDEX_WRITES, READ_UNITS, WRITE_UNITS

_MILLION = 1_000_000
_THOUSAND = 1_000
_PUTS = frozenset({"PutObject", "CopyObject", "PostObject", "UploadPart"}) | frozenset(
    {"CreateMultipartUpload", "CompleteMultipartUpload", "ListObjects", "ListObjectsV2"}
)
_FREE = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """US dollars for a million jobs, by service."""

    sqs: float
    dynamodb: float
    s3: float

    @property
    def total(self) -> float:
        return self.sqs + self.dynamodb + self.s3


def per_million(sides: Mapping[str, Side], prices: Prices) -> Cost:
    """The cost of a million jobs, from the counts of their submitter and worker."""
    requests: dict[tuple[str, str], float] = {}
    units: dict[str, float] = {}
    for side in sides.values():
        for key, count in side.requests.items():
            requests[key] = requests.get(key, 0) + count / side.jobs
        for kind, count in side.units.items():
            units[kind] = units.get(kind, 0) + count / side.jobs
    s3 = {operation: n for (service, operation), n in requests.items() if service == "s3"}
    puts = sum(n for operation, n in s3.items() if operation in _PUTS)
    gets = sum(n for operation, n in s3.items() if operation not in _PUTS | _FREE)
    written = units.get(WRITE_UNITS, 0) + units.get(INDEX_WRITES, 0)
    return Cost(
        sqs=sum(n for (service, _), n in requests.items() if service == "sqs")
        * prices.sqs_million_requests,
        dynamodb=written * prices.dynamodb_million_write_units
        + units.get(READ_UNITS, 0) * prices.dynamodb_million_read_units,
        s3=_MILLION / _THOUSAND * (puts * prices.s3_thousand_puts + gets * prices.s3_thousand_gets),
    )
