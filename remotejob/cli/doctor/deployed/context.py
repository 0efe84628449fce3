"""What the checks of a deployed system share: clients, and what was read once."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import boto3
from botocore.config import Config

from remotejob.cli.doctor.deployed.inventory import Inventory, read_inventory
from remotejob.ports import Installation

_CONFIG: Final = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3}
)


class Context:
    """One deployed system, as the checks see it."""

    def __init__(self, installation: Installation) -> None:
        self.installation: Final = installation
        self.system: Final = installation.name
        self._session = boto3.Session(region_name=installation.region or None)
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A boto3 client."""
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service,  # type: ignore[call-overload]
                config=_CONFIG,
            )
        return self._clients[service]

    @cached_property
    def inventory(self) -> Inventory:
        """Raises: botocore's errors."""
        return read_inventory(self.client("cloudformation"), self.system)
