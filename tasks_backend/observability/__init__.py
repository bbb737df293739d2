"""The built-in plugins `metrics` and `tracing`, off unless `PLUGINS` names them.

Both need the extra `observability`. They report each request's `RequestRecord`.
"""
