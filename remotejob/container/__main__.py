"""`python -m remotejob.container`"""

import sys

from remotejob.container.main import main

if __name__ == "__main__":
    sys.exit(main())
