"""Patches for moto where it differs from AWS in ways this project relies on, a module for each.

Each module says what moto does, what AWS does, and where AWS documents it. Permissions are in
`remotejob.local.access`.
"""

from __future__ import annotations

from remotejob.local.gaps import (
    cloudformation,
    comparisons,
    dispatch,
    dynamodb,
    eventbridge,
    iam_simulation,
    lambda_invoke,
    repeated_work,
    resource_names,
    s3_events,
    s3_keys,
    sqs,
    tracking,
)


def close_gaps() -> None:
    """Patch moto in this process. Call once, before the first request."""
    for gap in (
        tracking, sqs, dynamodb, comparisons, eventbridge, s3_events, s3_keys, lambda_invoke,
        cloudformation, resource_names, iam_simulation, dispatch,
    ):  # fmt: skip
        gap.close_gap()
    repeated_work.close_gap()
