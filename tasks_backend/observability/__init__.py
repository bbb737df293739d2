"""Two plugins of the package's own, off unless `PLUGINS` names them: `metrics` and `tracing`.

Both need the extra `observability`. What they tell comes from each request's `Observation`.
"""
