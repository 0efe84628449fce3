"""What the Makefile sets up needs nothing exported by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CERTIFICATES = [
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
]


def exported(name: str, **environment: str) -> str:
    """A variable as the Makefile's recipes see it."""
    bare = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(
        ["make", "--silent", f"--eval=shown:;@echo $${name}", "shown"],
        env=bare,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "name", ["UV_SYSTEM_CERTS", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA"]
)
def test_each_tool_trusts_what_the_system_trusts(name: str) -> None:
    """Behind a company proxy only the system's trust store has the proxy's certificate."""
    found = next((str(file) for file in CERTIFICATES if file.exists()), "")
    expected = {
        "UV_SYSTEM_CERTS": "true" if found or sys.platform == "darwin" else "",
        "PIP_CERT": found,
        "NODE_EXTRA_CA_CERTS": found,
        "NODE_USE_SYSTEM_CA": "1",
    }

    assert exported(name) == expected[name]


def test_what_the_user_exports_wins() -> None:
    assert exported("PIP_CERT", PIP_CERT="/my/own.pem") == "/my/own.pem"
    assert exported("UV_SYSTEM_CERTS", UV_SYSTEM_CERTS="false") == "false"
