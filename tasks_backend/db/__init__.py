"""The database: a pool on the event loop, one message per request, the classes of failure."""
