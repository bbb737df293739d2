"""Every attack that is known at once, beside honest users at work: `nox -s siege`."""
