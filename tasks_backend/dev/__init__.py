"""Everything at home: an embedded PostgreSQL and an issuer of development tokens.

Needs the package's extra `dev`. Nothing here is imported by the service.
"""
