"""Where moto differs from AWS in what this project relies on, closed one module at a time.

Each module says what moto does, what AWS does and where AWS says so. Who may do what is not here:
see `remotejob.local.access`.
"""

from __future__ import annotations

from remotejob.local.gaps import (
    cloudformation,
    dynamodb,
    eventbridge,
    lambda_invoke,
    repeated_work,
    s3_events,
    sqs,
    tracking,
)


def close_gaps() -> None:
    """Patch moto in this process. To be called once, before the first request."""
    for gap in (tracking, sqs, dynamodb, eventbridge, s3_events, lambda_invoke, cloudformation):
        gap.close_gap()
    repeated_work.close_gap()
