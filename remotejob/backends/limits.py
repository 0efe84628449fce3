"""The limits of Amazon SQS, which the in-memory queue keeps too."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.ports import Capabilities

SQS: Final = Capabilities(
    max_delay=timedelta(minutes=15),
    max_hidden=timedelta(hours=12),
    retention=timedelta(days=14),
    batch=10,
)
"""Source: Amazon SQS, "Amazon SQS message quotas"; the stacks set this retention."""
