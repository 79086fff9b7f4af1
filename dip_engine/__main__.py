"""``python -m dip_engine`` is ``dip-engine``."""

import sys

from dip_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
