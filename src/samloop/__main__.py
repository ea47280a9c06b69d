"""`python -m samloop` is the `samloop` program."""

import sys

from samloop.cli.main import main

sys.exit(main())
