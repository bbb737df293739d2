"""All SQL of the kit: databases for tests, and what isolation is checked with."""


def create_login(name: str, attributes: str) -> str:
    """Return the statement that creates a login with these attributes."""
    return f"CREATE ROLE {name} LOGIN {attributes}"


def create_database(name: str, owner: str) -> str:
    """Return the statement that creates a database."""
    return f"CREATE DATABASE {name} OWNER {owner}"


def drop_database(name: str) -> str:
    """Return the statement that drops a database in use."""
    return f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
