"""Errors of the embedded AWS.

RemoteJobError
└── LocalError
    ├── InvalidAssembly      the CDK app's output cannot be deployed
    ├── DeploymentFailed     a stack could not be created
    ├── ServerFailed         the server did not start
    ├── StateUnusable        the data kept from earlier starts cannot be used
    ├── ControlError         the server refused a control request
    ├── NoTaskRole           a task definition has no role
    ├── SecretNotRead        the agent's role cannot read a secret of a task
    ├── UnknownResource      no deployed resource, or more than one, matches the name
    └── FunctionFailed       an invoked function failed
"""

from __future__ import annotations

from typing import Any

from remotejob.domain.errors import RemoteJobError


class LocalError(RemoteJobError):
    """Base of all errors of the embedded AWS."""


class InvalidAssembly(LocalError):
    """The folder is not a deployable cloud assembly; the message says what is wrong."""


class DeploymentFailed(LocalError):
    """A stack could not be created; the message has its failed events."""


class ServerFailed(LocalError):
    """The server of the embedded AWS did not start or has ended; the message says more."""


class StateUnusable(LocalError):
    """The data kept from earlier starts cannot be used; the message says why and what to do."""


class ControlError(LocalError):
    """The server refused a control request; the message says why."""


class NotPrivate(LocalError):
    """A file or folder of the embedded AWS is a link, or another user's."""


class NoTaskRole(LocalError):
    """The deployed task definition has no task role, so the worker could call no AWS service."""


class SecretNotRead(LocalError):
    """A secret of a task is not there, or its execution role may not read it; says which."""


class UnknownResource(LocalError, LookupError):
    """No deployed resource, or more than one, has this type and name."""


class FunctionFailed(LocalError):
    """An invoked function failed; `payload` is Lambda's description of the error."""

    def __init__(self, payload: Any) -> None:
        self.payload = payload
        super().__init__(f"{payload.get('errorType')}: {payload.get('errorMessage')}")
