"""The suite for job stores, composed of the suites in `store_*.py`."""

from __future__ import annotations

from remotejob.testing.conformance.store_changes import ChangesConformance
from remotejob.testing.conformance.store_edges import EdgesConformance
from remotejob.testing.conformance.store_index import IndexConformance
from remotejob.testing.conformance.store_limits import LimitsConformance
from remotejob.testing.conformance.store_locks import LocksConformance
from remotejob.testing.conformance.store_managing import ManagingConformance
from remotejob.testing.conformance.store_ownership import OwnershipConformance
from remotejob.testing.conformance.store_races import RacesConformance
from remotejob.testing.conformance.store_records import RecordsConformance
from remotejob.testing.conformance.store_transactions import TransactionsConformance


class StoreConformance(
    RecordsConformance,
    TransactionsConformance,
    ChangesConformance,
    OwnershipConformance,
    ManagingConformance,
    EdgesConformance,
    LocksConformance,
    LimitsConformance,
    IndexConformance,
    RacesConformance,
):
    """Tests for a `JobStore`. Subclass it with a fixture `store` that is empty for each test."""
