"""The one error of a release."""

from __future__ import annotations


class ReleaseProblem(Exception):
    """Nothing was built; the message says why, and the remedy."""
