"""More load than the service can handle, independent of its answers: `nox -s overload`."""
