"""The `doctor` command: checks that each return findings, and how findings are shown."""
