"""More load than the service can take, offered whether or not it answers: `nox -s overload`."""
