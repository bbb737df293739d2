"""`python -m tasks_backend` is the command line."""

from tasks_backend.cli import main

main()
