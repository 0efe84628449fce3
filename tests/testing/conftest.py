"""A system of the testing kit, with tasks that these tests register."""

from __future__ import annotations

import pytest

SETTINGS = """
[system]
name = "kit"

[queues.default]
tasks = ["copy", "count", "fail"]
daily_jobs = 50

[queues.other]
tasks = ["after"]

[[routes]]
prefix = "in/"
suffixes = [".txt"]
task = "copy"
priority = "high"
tenant = "{folder}"
data = { to = "copy.txt" }
"""


@pytest.fixture
def remotejob_settings() -> str:
    return SETTINGS
