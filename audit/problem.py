"""The one error of the audit."""

from __future__ import annotations


class AuditProblem(Exception):
    """Something was not audited; the message says what and the remedy."""
