"""``python -m vedette``: the same as the ``vedette`` program."""

from vedette.cli import main

main()
