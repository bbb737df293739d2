"""Local development: an embedded PostgreSQL and an issuer of development tokens.

Needs the package's extra `dev`. The service imports nothing from here.
"""
