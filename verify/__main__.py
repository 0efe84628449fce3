"""The command: `python -m verify`; exits with 1 if anything failed, with 2 if nobody agreed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from remotejob import RemoteJob
from verify.throwaway import Verification

AGREED: Final = "VERIFY_AWS"
_ROOT: Final = Path(__file__).resolve().parents[1]


def refusal(account: str, environment: Mapping[str, str]) -> str | None:
    """Why nothing is made in this account; None if somebody agreed to it by its number."""
    word = f"yes-in-account-{account}"
    if environment.get(AGREED) == word:
        return None
    return (
        f"this deploys a throw-away system to account {account}, costs some cents, takes about half"
        f" an hour and removes all of it again; to agree: {AGREED}={word} make verify-aws"
    )


def main() -> int:
    session = boto3.Session()
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as problem:
        print(f"nothing was done: no account ({problem}); log in, set AWS_REGION", file=sys.stderr)
        return 2
    refused = refusal(account, os.environ)
    if refused is not None:
        print(f"nothing was done: {refused}", file=sys.stderr)
        return 2
    make: Any = session.client
    verification = Verification(
        folder=_ROOT / "build/verify",
        client=make,
        command=_remotejob,
        connect=lambda name: RemoteJob.connect(name, session=session),
        say=lambda text: print(text, flush=True),
    )
    well = verification.run()
    for failure in verification.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 0 if well else 1


def _remotejob(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "remotejob", "--on", "aws", *arguments]
    return subprocess.run(command, cwd=_ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
