"""The cost of a request, beside peers that do the same job and limits that do less: `nox -s bench`."""
