"""The CDK app: `cdk deploy --all`, or `python app.py` with CDK_OUTDIR for the assembly alone."""

import sys

from remotejob.domain.errors import SettingsError
from stacks.bundle import BundleError
from stacks.system import synthesize

try:
    synthesize()
except (SettingsError, BundleError) as problem:
    # Without a traceback: the message says what to do.
    sys.exit(f"error: {problem}")
