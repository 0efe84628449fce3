"""Refuses to run beside the package index's `remotejob`, which is another project.

Both put their files into the same folder, so whichever was installed last has overwritten
`remotejob/__init__.py` of the other.
"""

from __future__ import annotations

from pathlib import Path


class OtherDistribution(ImportError):
    """Another project's package of the same name is installed in the same place."""


def refuse_other_distribution(place: Path = Path(__file__).parents[1]) -> None:
    """Look beside the package for what an installer notes of the other one.

    By name, without reading metadata: this happens at the first import of every program.

    Raises: OtherDistribution, with the remedy.
    """
    try:
        found = [entry for entry in place.iterdir() if entry.name.startswith("remotejob-")]
    except OSError:
        # a zip file has no installers' notes
        return
    for entry in found:
        if entry.suffix in (".dist-info", ".egg-info"):
            raise OtherDistribution(
                f"{entry}: this is another project's package, which is called remotejob on"
                " the package index and overwrites files of remotejob-aws; mend it with: pip"
                " uninstall --yes remotejob remotejob-aws && pip install remotejob-aws"
            )
