"""The tenant of an upload, as its route names it: one for all, or one for each folder."""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import quote

from remotejob.domain.errors import InvalidName
from remotejob.domain.name_rules import LONGEST_TENANT, check_tenant
from remotejob.domain.text import shown

FOLDER: Final = "{folder}"
"""In a route's tenant: the first folder of the key after the route's prefix."""

NO_FOLDER: Final = "-"
"""In its place, for a file that lies in no folder."""

_AS_THEY_ARE: Final = "!\"#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""All printable ASCII except `%`, which begins an encoded byte."""


def check_route_tenant(tenant: str) -> str:
    """A tenant's name with at most one `{folder}`. Raises: InvalidName."""
    before, folder, after = tenant.partition(FOLDER)
    if "{" in before + after or "}" in before + after:
        raise InvalidName(
            f"tenant {shown(tenant)}: the only part to be filled in is {FOLDER}, once"
        )
    check_tenant(f"{before}{'x' if folder else ''}{after}")
    return tenant


def tenant_of(key: str, *, tenant: str, prefix: str) -> str:
    """The tenant of an object's key. Different folders have different tenants, whatever letters
    they have: those that a tenant cannot have are encoded, and long ones hashed.

    It never refuses: an upload is somebody's file.
    """
    if FOLDER not in tenant:
        return tenant
    first, slash, _ = key.removeprefix(prefix).lstrip("/").partition("/")
    folder = quote(first, safe=_AS_THEY_ARE, errors="replace") if slash else NO_FOLDER
    named = tenant.replace(FOLDER, folder)
    if len(named) <= LONGEST_TENANT:
        return named
    return f"#{hashlib.sha256(named.encode()).hexdigest()}"
