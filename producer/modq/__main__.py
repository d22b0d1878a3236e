"""``python -m modq`` is the ``modq`` command."""

import sys

from modq.cli import main

sys.exit(main())
