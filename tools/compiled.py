"""The training step with and without XLA: `python -m tools.compiled`; its code and flags are in studies/compiled.py."""

import sys

from .studies.compiled import main

if __name__ == "__main__":
    sys.exit(main())
