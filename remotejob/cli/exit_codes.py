"""Exit codes, and which errors lead to them."""

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
    """A job failed or was cancelled while the command waited for it, or ran it itself."""
    INVALID = 2
    """The command line, a value or the settings are invalid, or the job's state does not allow the
    command."""
    NOT_FOUND = 3
    """No such job, batch, output, or deployed system."""
    ACCESS = 4
    """AWS could not be reached, or refused access."""
    TIMEOUT = 5
    """The job did not end within --timeout."""
    TROUBLE = 6
    """Any other error, such as output that could not be written; what `doctor` found."""
    INTERRUPTED = 130
    """Ctrl-C."""


def explain(error: Exception) -> tuple[Exit, str]:
    """The exit code and the one-line message for an error.

    Raises: the error itself, unless it is ours, boto3's or the system's: it is a bug, and deserves
    its traceback.
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
        case NoCredentialsError() | PartialCredentialsError():
            return Exit.ACCESS, f"no AWS credentials ({error}); set AWS_PROFILE or the keys"
        case ClientError():
            refusal = error.response["Error"]
            return Exit.ACCESS, (
                f"AWS refused {error.operation_name} ({refusal['Code']}: {refusal['Message']}); "
                "check the permissions of these credentials"
            )
        case BotoCoreError() | ConnectionError():
            return Exit.ACCESS, f"cannot reach AWS ({error}); check the network and AWS_REGION"
        case RemoteJobError() | OSError():
            return Exit.TROUBLE, str(error)
        case _:
            raise error
