"""What the embedded AWS raises to whoever starts it.

RemoteJobError
└── LocalError
    ├── InvalidAssembly      the CDK app's output cannot be deployed
    ├── DeploymentFailed     a stack could not be created
    ├── ServerFailed         the server did not start
    ├── ControlError         the server refused something, or is gone
    ├── NoTaskRole           a task definition without a role
    ├── UnknownResource      no single deployed resource of that name
    └── FunctionFailed       a function that was invoked failed
"""

from __future__ import annotations

from typing import Any

from remotejob.domain.errors import RemoteJobError


class LocalError(RemoteJobError):
    """Base of all errors of the embedded AWS."""


class InvalidAssembly(LocalError):
    """The folder is no cloud assembly that can be deployed; the message says what is wrong."""


class DeploymentFailed(LocalError):
    """A stack could not be created; the message has the events that say why."""


class ServerFailed(LocalError):
    """The server of the embedded AWS did not start; the message has what it wrote."""


class ControlError(LocalError):
    """The server refused a request of its starter; the message says why."""


class NoTaskRole(LocalError):
    """The deployed task definition names no task role, so the worker could call nothing."""


class UnknownResource(LocalError, LookupError):
    """No deployed resource has this type and name, or several have."""


class FunctionFailed(LocalError):
    """A function that was invoked failed; `payload` is the error as Lambda describes it."""

    def __init__(self, payload: Any) -> None:
        self.payload = payload
        super().__init__(f"{payload.get('errorType')}: {payload.get('errorMessage')}")
