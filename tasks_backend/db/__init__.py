"""The database: a connection pool on the event loop, one message per request, failure classes."""
