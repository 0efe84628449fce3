"""Which task of ECS a container belongs to, without a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

METADATA: Final = "ECS_CONTAINER_METADATA_URI_V4"
"""Set by ECS in each container."""

_ON_FARGATE: Final = re.compile(r"/v4/([0-9a-f]{32})-\d+/?$")
"""The id of the task begins the container's. On EC2 instances, the container has an id of its own.

Source: Amazon ECS Developer Guide, "Amazon ECS task metadata v4 examples for tasks on Fargate".
"""


def ecs_task(environment: Mapping[str, str]) -> str | None:
    """The id of this process's task; None outside Fargate."""
    found = _ON_FARGATE.search(environment.get(METADATA, ""))
    return found[1] if found else None
