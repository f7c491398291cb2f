"""`python -m asyncmqd` is the same as the command `asyncmqd`."""

from asyncmqd.cli.asyncmqd import main

main()
