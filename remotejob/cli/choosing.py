"""Chooses which system a command means: the one that runs on this machine, or one in AWS.

It refuses to guess: if a local system runs in this project, and the environment asks for another,
the command says so and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from enum import StrEnum
from typing import Final

from remotejob.cli.program import called_as
from remotejob.client.remote_job import NAME_VARIABLE
from remotejob.domain.errors import SettingsError, SystemNotFound
from remotejob.domain.text import shown
from remotejob.local.announcement import ENDPOINT, LocalSystem
from remotejob.names import Env

_KEY: Final = "AWS_ACCESS_KEY_ID"
_OF_A_CONTAINER: Final = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
_PROFILES: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_NAMES_AN_ACCOUNT: Final = (*_PROFILES, _KEY, "AWS_WEB_IDENTITY_TOKEN_FILE", *_OF_A_CONTAINER)
"""Variables with which somebody chose credentials. A region, or the default profile in ~/.aws, is
there on most machines whatever this command is about, so neither counts.

Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers".
"""
_ENDPOINTS: Final = f"{ENDPOINT}_"
"""How the variables begin that set the endpoint of one service."""


class On(StrEnum):
    """Where a system is."""

    LOCAL = "local"
    AWS = "aws"


def choose(
    on: On | None, name: str | None, environ: Mapping[str, str], running: LocalSystem | None
) -> LocalSystem | None:
    """The local system, or None for one in AWS.

    `on` is the user's word for it, `name` the name of the system that was asked for, if any, and
    `running` the system that runs in this project.

    Raises: SettingsError, when both could be meant, or the environment contradicts `on`;
    SystemNotFound, when `on` is local, and no such system runs here.
    """
    if on is On.LOCAL:
        return _required(running, name)
    if running is None:
        return None
    exported = environ.get(ENDPOINT) == running.endpoint
    if on is On.AWS:
        if exported:
            raise SettingsError(
                f"--on aws, but {ENDPOINT}={running.endpoint} is the local system's: unset "
                f"{ENDPOINT} and the keys that were exported with it"
            )
        return None
    other = _asked_for(name, environ, running, exported=exported)
    if other is None:
        return running
    raise SettingsError(
        f"two systems could be meant: {shown(running.system)}, which runs on this machine (process "
        f"{running.pid}), and {other}. Choose: {called_as()} --on local ..., or --on aws ..."
    )


def use(running: LocalSystem, environ: MutableMapping[str, str]) -> None:
    """Make this process, and those it starts, talk to a local system.

    An environment that leads there already stays: it may have the keys of one of its roles.
    """
    keys = any(environ.get(name) for name in (_KEY, *_OF_A_CONTAINER))
    profile = any(environ.get(name) for name in _PROFILES)
    if environ.get(ENDPOINT) == running.endpoint and keys and not profile:
        return
    for variable in unwanted(running, environ):
        del environ[variable]
    environ.update(running.environment)


def unwanted(running: LocalSystem, environ: Mapping[str, str]) -> list[str]:
    """Variables of an environment that would lead elsewhere, or would fail there."""
    return sorted(
        variable
        for variable in environ
        # `no_proxy` is read before the NO_PROXY that the local system sets
        if (variable.startswith("AWS_") or variable in (Env.SYSTEM, "no_proxy"))
        and variable not in running.environment
    )


def _required(running: LocalSystem | None, name: str | None) -> LocalSystem:
    if running is None:
        raise SystemNotFound(
            f"no local system runs here; start it in the project's folder with `{called_as()} "
            "local`, or say --on aws"
        )
    if name is not None and name != running.system:
        raise SystemNotFound(
            f"no system {shown(name)} runs on this machine: the local one is "
            f"{shown(running.system)}; leave out --system and {NAME_VARIABLE}, or say --on aws"
        )
    return running


def _asked_for(
    name: str | None, environ: Mapping[str, str], running: LocalSystem, *, exported: bool
) -> str | None:
    """What asks for a system other than the one that runs here, in words; None if nothing does."""
    if name is not None and name != running.system:
        return f"system {shown(name)} in AWS"
    if exported:
        return None
    if endpoint := environ.get(ENDPOINT):
        return f"the one at {ENDPOINT}={shown(endpoint)}"
    for variable in _NAMES_AN_ACCOUNT:
        if value := environ.get(variable):
            said = variable if variable == _KEY else f"{variable}={shown(value)}"
            return f"one in AWS, which {said} asks for"
    for variable in sorted(environ):
        if variable.startswith(_ENDPOINTS) and environ[variable]:
            return f"one in AWS, which {variable} asks for"
    return None
