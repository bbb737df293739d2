"""`python -m tasks_backend` is the command line."""

if __name__ == "__main__":  # the processes of `dev` and `serve` import this too, for nothing
    from tasks_backend.cli import main

    main()
