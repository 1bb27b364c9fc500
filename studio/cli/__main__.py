"""``python -m studio.cli``: the ``storyboard`` command."""

import sys

from studio.cli.main import main

sys.exit(main())
