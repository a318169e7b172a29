"""``python -m bench`` is the script ``bench``."""

from bench.cli import main

main()
