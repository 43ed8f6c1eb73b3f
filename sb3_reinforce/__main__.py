"""``python -m sb3_reinforce``"""

import sys

from sb3_reinforce.cli import main

if __name__ == "__main__":
    sys.exit(main())
