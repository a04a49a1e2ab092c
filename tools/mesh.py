"""A mesh beside one device: `python -m tools.mesh`; its code and flags are in studies/mesh.py."""

import sys

from .studies.mesh import main

if __name__ == "__main__":
    sys.exit(main())
