"""`python -m tasks_backend` is the command line."""

if __name__ == "__main__":  # worker processes import this module too
    from tasks_backend.cli import main

    main()
