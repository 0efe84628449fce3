"""The command: `python -m audit [--advisories no] FOLDER NPM…`; exits with 1 if it fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from audit.advisories import Lookup, npm_advisories, python_advisories
from audit.bills import TARGETS, Bill, npm_bill, python_bill
from audit.licences import accepted, refusal
from audit.problem import AuditProblem


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the bills, and judge them; everything is looked at before it fails."""
    parser = argparse.ArgumentParser(prog="make audit", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the bills of materials go")
    parser.add_argument("--advisories", choices=["yes", "no"], default="yes")
    parser.add_argument("npm", nargs=argparse.REMAINDER, help="the command that is npm")
    asked = parser.parse_args(arguments)
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        bills = [python_bill(target, folder) for target in TARGETS]
        bills.append(npm_bill(asked.npm, folder))
    except AuditProblem as problem:
        print(f"the audit failed: {problem}", file=sys.stderr)
        return 1
    problems = [*_licences(bills)]
    if asked.advisories == "yes":
        for target in TARGETS:
            problems += judge(target.name, python_advisories(target.lock))
        problems += judge("cdk", npm_advisories(asked.npm))
    else:
        print("advisories: not looked up, as asked")
    for each in problems:
        print(f"the audit failed: {each}", file=sys.stderr)
    return 1 if problems else 0


def judge(name: str, lookup: Lookup) -> list[str]:
    """What a lookup found, and that it looked at everything."""
    print(f"advisories: {name}: looked up {lookup.looked_up} of {lookup.packages} packages")
    for each in lookup.from_git:
        print(f"advisories: {name}: {each} comes from git, and no database has it: watch it there")
    problems = [f"advisory: {name}: {each}" for each in lookup.found]
    if not lookup.packages or lookup.looked_up < lookup.packages:
        problems.append(
            f"advisories of {name}: {lookup.packages - lookup.looked_up} of {lookup.packages} "
            f"packages could not be looked up ({lookup.skipped or 'there are none'}); run it where "
            "the databases can be reached, or leave them out: make audit ADVISORIES=no"
        )
    return problems


def _licences(bills: Sequence[Bill]) -> list[str]:
    what = accepted()
    problems = []
    for bill in bills:
        refused = [said for each in bill.components if (said := refusal(each, what))]
        print(f"{bill.name}: {len(bill.components)} packages, {bill.path}")
        problems += [f"licence: {bill.name}: {said}" for said in refused]
    return problems


if __name__ == "__main__":
    sys.exit(main())
