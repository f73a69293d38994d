"""``python -m checker`` is the command knetlab."""

from checker.cli import main

main()
