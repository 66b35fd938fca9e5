"""`python -m metaprior.cli` is the command `metaprior`."""

import sys

from metaprior.cli import main

sys.exit(main())
