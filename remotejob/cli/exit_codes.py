"""Exit codes: what went wrong, for scripts."""

from __future__ import annotations

from enum import IntEnum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from remotejob.domain.errors import (
    AccessProblem,
    BatchNotFound,
    CommandRefused,
    InvalidInput,
    JobFailed,
    JobNotFound,
    OutputNotFound,
    RemoteJobError,
    SettingsError,
    SystemNotFound,
    WaitTimeout,
)


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    JOB_FAILED = 1
    """A job that was waited for failed or was cancelled."""
    INVALID = 2
    """The command line, a value on it, the settings, or the command in the job's state was
    refused."""
    NOT_FOUND = 3
    """No such job, batch, output, or deployed system."""
    ACCESS = 4
    """AWS could not be reached, or did not allow it."""
    TIMEOUT = 5
    """The job did not end in the time given."""
    TROUBLE = 6
    """Anything else; the message says what."""
    INTERRUPTED = 130
    """Ctrl-C."""


def explain(error: Exception) -> tuple[Exit, str]:
    """The exit code and the one line a user gets for an error.

    Raises: the error itself, when it is none of ours or boto's: a bug is worth its traceback.
    """
    match error:
        case InvalidInput() | CommandRefused() | SettingsError():
            return Exit.INVALID, str(error)
        case (
            JobNotFound()
            | BatchNotFound()
            | SystemNotFound()
            | OutputNotFound()
            | FileNotFoundError()
        ):
            return Exit.NOT_FOUND, str(error)
        case AccessProblem():
            return Exit.ACCESS, str(error)
        case WaitTimeout():
            return Exit.TIMEOUT, str(error)
        case JobFailed():
            return Exit.JOB_FAILED, str(error)
        case RemoteJobError():
            return Exit.TROUBLE, str(error)
        case NoCredentialsError() | PartialCredentialsError():
            return Exit.ACCESS, f"no AWS credentials ({error}); set AWS_PROFILE or the keys"
        case ClientError():
            said = error.response["Error"]
            return Exit.ACCESS, (
                f"AWS refused {error.operation_name} ({said['Code']}: {said['Message']}); "
                "check the permissions of these credentials"
            )
        case BotoCoreError():
            return Exit.ACCESS, f"cannot reach AWS ({error}); check the network and AWS_REGION"
        case _:
            raise error
