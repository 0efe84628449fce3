"""Client of the server's control interface, which is not part of any AWS API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from remotejob.local.errors import ControlError

CONTROL_PREFIX: Final = "/_remotejob/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """The address of the control interface, and its token."""

    endpoint_url: str
    token: str

    def get(self, path: str, *, timeout_s: float = 30) -> Any:
        """Send a GET request. Raises: ControlError."""
        return self._send("GET", path, None, timeout_s)

    def post(self, path: str, body: Any = None, *, timeout_s: float = 30) -> Any:
        """Send a POST request. Raises: ControlError."""
        return self._send("POST", path, json.dumps(body).encode(), timeout_s)

    def _send(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Any:
        request = urllib.request.Request(  # noqa: S310  (our own address on the loopback)
            f"{self.endpoint_url}{CONTROL_PREFIX}{path}",
            data=body,
            method=method,
            headers={"Authorization": self.token, "Content-Type": "application/json"},
        )
        # A proxy from the caller's environment could not reach our loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ControlError(json.load(error).get("error", str(error))) from None
