"""All known attacks at once, while honest users work: `nox -s siege`."""
