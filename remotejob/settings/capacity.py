"""Where a queue's workers run: Fargate on demand, Fargate Spot, or a capacity provider by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from remotejob.settings.table import Table

ON_DEMAND: Final = "FARGATE"
SPOT: Final = "FARGATE_SPOT"

_PROVIDER: Final = re.compile(r"(?!(aws|ecs|fargate))[A-Za-z0-9_-]{1,255}", re.IGNORECASE)
"""Source: Amazon ECS API Reference, CreateCapacityProvider, name."""

_MOST_GPUS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """Capacity of a queue's workers."""

    spot_percent: int = 0
    """How many of a hundred workers, beyond the base, run on Fargate Spot, 0 to 100."""
    on_demand_base: int = 0
    """Workers that run on demand before any runs on Spot."""
    provider: str | None = None
    """A capacity provider of the account or of the cluster, instead of Fargate's two."""
    gpus: int = 0
    """GPUs of a worker, which only the machines of a provider by name have."""

    @property
    def shares(self) -> tuple[tuple[str, int, int], ...]:
        """Capacity providers, each with its weight and its base.

        Source: Amazon ECS API Reference, CapacityProviderStrategyItem.
        """
        if self.provider is not None:
            return ((self.provider, 1, 0),)
        if not self.spot_percent:
            return ((ON_DEMAND, 1, 0),)
        return (
            (ON_DEMAND, 100 - self.spot_percent, self.on_demand_base),
            (SPOT, self.spot_percent, 0),
        )


def read_capacity(table: Table, *, max_workers: int) -> Capacity:
    """The capacity of a queue from its table. Raises: SettingsError."""
    found = Capacity(
        spot_percent=table.whole("spot_percent", 0, 100, default=0),
        on_demand_base=table.whole("on_demand_base", 0, 1000, default=0),
        provider=_provider(table),
        gpus=table.whole("gpus", 0, _MOST_GPUS, default=0),
    )
    if found.on_demand_base and not found.spot_percent:
        table.fail(
            "on_demand_base",
            found.on_demand_base,
            "all workers run on demand already; leave it out, or give a spot_percent",
        )
    if found.on_demand_base > max_workers:
        table.fail(
            "on_demand_base", found.on_demand_base, f"it must be at most max_workers, {max_workers}"
        )
    if found.provider is None and found.gpus:
        table.fail("gpus", found.gpus, "Fargate has none; name a capacity_provider that does")
    if found.provider is not None and found.spot_percent:
        table.fail(
            "spot_percent",
            found.spot_percent,
            "it is a share of Fargate; leave it out, or leave out capacity_provider",
        )
    if found.provider is not None and table.has("ephemeral_storage_gib"):
        table.fail(
            "ephemeral_storage_gib",
            table.value("ephemeral_storage_gib", int),
            "it is of Fargate alone; the provider says how large its machines' disks are",
        )
    return found


def _provider(table: Table) -> str | None:
    name: str = table.value("capacity_provider", str, default="")
    if table.has("capacity_provider") and not _PROVIDER.fullmatch(name):
        table.fail(
            "capacity_provider",
            name,
            "name one of yours: letters, digits, - and _, not beginning with aws, ecs or fargate;"
            " for Fargate Spot, say spot_percent",
        )
    return name or None
