"""The container's entry point: the library's own. What must happen before it, add here."""

import sys

from remotejob.container.main import main

if __name__ == "__main__":
    sys.exit(main())
