"""`python -m remotejob` is the `remotejob` command."""

from remotejob.cli import main

if __name__ == "__main__":
    main()
