"""Starts the studio: the page, with an engine beside it. The flags are those of ``storyboard serve``.

Comes in: flags. Goes out: a page on http://127.0.0.1:7860 until the process is told to stop. No logic here.
"""

import sys

from studio.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
