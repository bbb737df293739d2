"""The cost of a request, compared with peers (same job) and limits (less work): `nox -s bench`."""
