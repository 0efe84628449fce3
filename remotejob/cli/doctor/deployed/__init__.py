"""Checks of a deployed system, each with its own look at AWS; nothing is changed."""

from __future__ import annotations

from functools import partial

from remotejob.cli.doctor.deployed.clocks import check_clock
from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.deployed.functions import (
    check_functions,
    check_input_bucket,
    check_rules,
)
from remotejob.cli.doctor.deployed.permissions import check_permissions
from remotejob.cli.doctor.deployed.queues import check_dead_letters, check_queues
from remotejob.cli.doctor.deployed.quotas import check_quotas
from remotejob.cli.doctor.deployed.stacks import check_stacks
from remotejob.cli.doctor.deployed.switches import check_switches
from remotejob.cli.doctor.deployed.table import check_table
from remotejob.cli.doctor.deployed.workers import (
    check_images,
    check_services,
    check_signs,
    check_versions,
)
from remotejob.cli.doctor.findings import Check

__all__ = ["Context", "checks_of"]

_CHECKS = (
    ("the clock", check_clock),
    ("the stacks", check_stacks),
    ("the job table", check_table),
    ("the queues", check_queues),
    ("the switches", check_switches),
    ("the rules", check_rules),
    ("the functions", check_functions),
    ("the input bucket", check_input_bucket),
    ("the roles", check_permissions),
    ("the workers' services", check_services),
    ("what the workers say", check_signs),
    ("the versions", check_versions),
    ("the dead letters", check_dead_letters),
)

_IN_AWS = (("the images", check_images), ("the quotas", check_quotas))
"""`remotejob local` has no registry and no quotas."""


def checks_of(context: Context, *, local: bool) -> list[Check]:
    """The checks of a deployed system; `local` for one on this machine."""
    chosen = _CHECKS if local else (*_CHECKS, *_IN_AWS)
    return [Check(subject=subject, run=partial(check, context)) for subject, check in chosen]
