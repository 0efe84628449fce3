"""Give a worker the credentials of its task role, as the ECS agent does.

Source: ECS Developer Guide, "Amazon ECS task IAM role": the SDK reads the address in
AWS_CONTAINER_CREDENTIALS_FULL_URI and refreshes the credentials before they expire.
"""

from __future__ import annotations

import secrets
import threading
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from remotejob.local.access import identity

PATH: Final = "credentials/"
_LIFE: Final = timedelta(hours=6)


class TaskCredentials:
    """The running tasks, each with its own token."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region
        self._lock = threading.Lock()
        self._roles: dict[str, tuple[str, str]] = {}

    def register(self, role_arn: str, session: str) -> dict[str, str]:
        """Register a new task with this role; return its path and token.

        Raises: NotTrusted, when the role does not let ECS tasks assume it.
        """
        self._assume(role_arn, session)
        name, token = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        with self._lock:
            self._roles[name] = (token, role_arn)
        return {"path": f"{PATH}{name}", "token": token}

    def answer(self, name: str, token: str) -> dict[str, Any] | None:
        """Fresh credentials in the SDK's format; None for a wrong name or token."""
        with self._lock:
            expected, role_arn = self._roles.get(name, ("", ""))
        if not expected or not secrets.compare_digest(expected.encode(), token.encode()):
            return None
        credentials = self._assume(role_arn, name)
        return {
            "RoleArn": role_arn,
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": (datetime.now(UTC) + _LIFE).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _assume(self, role_arn: str, session: str) -> identity.Credentials:
        return identity.assume_as_service(
            self._account,
            self._region,
            role_arn,
            service="ecs-tasks.amazonaws.com",
            on_behalf_of=f"arn:aws:ecs:{self._region}:{self._account}:task/{session}",
            session=session,
            # longer than they say, so that a slow renewal fails nobody
            life=2 * _LIFE,
        )
