"""The metrics. Their labels have few values: no user, path, id or text from a client."""

from tasks_backend.observability.extra import require_extra

with require_extra("metrics"):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms' buckets, in seconds."""
JOB_BUCKETS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)


class Instruments:
    """All metrics, in a separate registry for each application."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "tasks_backend_requests",
            "Requests, with the problem's code if they failed; status `none` after a disconnect.",
            ["method", "route", "status", "code"],
            registry=registry,
        )
        self.duration = Histogram(
            "tasks_backend_request_duration_seconds",
            "Time from the first byte of the request head to the last byte of the response.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "tasks_backend_requests_in_progress",
            "Requests in progress.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.places = Gauge(
            "tasks_backend_request_places",
            "Places for requests in progress: `free` or `in_use`.",
            ["state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.senders = Gauge(
            "tasks_backend_request_senders",
            "Credentials and users that have a request in progress.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.bodies = Gauge(
            "tasks_backend_request_bodies_awaited",
            "Requests whose body has not arrived yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.refused = Counter(
            "tasks_backend_requests_refused",
            "Requests refused because too many were in progress.",
            registry=registry,
        )
        self.database_calls = Histogram(
            "tasks_backend_database_exchange_duration_seconds",
            "Duration of messages to the database and of connecting, by failure class or `ok`.",
            ["kind", "outcome"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.retries = Counter(
            "tasks_backend_database_retries",
            "Exchanges that were repeated, by the class of the preceding failure.",
            ["failure"],
            registry=registry,
        )
        self.waited = Histogram(
            "tasks_backend_database_wait_seconds",
            "Time that requests waited for a connection.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.connections = Gauge(
            "tasks_backend_database_connections",
            "Connections to the database: `idle` or `in_use` (including those being opened).",
            ["state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.waiting = Gauge(
            "tasks_backend_database_waiting",
            "Requests that wait for a connection.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.jobs = Histogram(
            "tasks_backend_job_duration_seconds",
            "Duration of the runs of plugins' jobs in this process.",
            ["name", "outcome"],  # `job` is the scrape's own label
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self.key_set_age = Gauge(
            "tasks_backend_key_set_age_seconds",
            "Time since the keys were last confirmed (oldest worker); -1 if never.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.key_set_fetches = Counter(
            "tasks_backend_key_set_fetches",
            "Fetches of the key set.",
            ["outcome"],
            registry=registry,
        )
