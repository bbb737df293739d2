"""The instruments: what is counted and measured, by labels of few values only.

No label is a user, a path, an id or a text that a client chose.
"""

from tasks_backend.observability.extra import needed_by

with needed_by("metrics"):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Instruments:
    """One set of them, in a registry of its own: applications share nothing."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "tasks_backend_requests",
            "Requests, by the problem's code if they failed; status `none` if the client went away.",
            ["method", "route", "status", "code"],
            registry=registry,
        )
        self.duration = Histogram(
            "tasks_backend_request_duration_seconds",
            "How long requests took, from the first byte of the head to the last of the answer.",
            ["method", "route", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "tasks_backend_requests_in_progress",
            "Requests that are being worked on.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.places = Gauge(
            "tasks_backend_request_places",
            "Places for requests in work: `free`, or `in_use`.",
            ["state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.senders = Gauge(
            "tasks_backend_request_senders",
            "Credentials and users that have a request in work.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.bodies = Gauge(
            "tasks_backend_request_bodies_awaited",
            "Requests whose body has not come yet.",
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
            "Messages to the database and connections made, by the class of the failure or `ok`.",
            ["kind", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self.retries = Counter(
            "tasks_backend_database_retries",
            "Exchanges that were repeated, by the class of the failure that they followed.",
            ["failure"],
            registry=registry,
        )
        self.waited = Histogram(
            "tasks_backend_database_wait_seconds",
            "How long requests stood in line for a connection.",
            buckets=SECONDS,
            registry=registry,
        )
        self.connections = Gauge(
            "tasks_backend_database_connections",
            "Connections to the database: `idle`, or `in_use` (being made included).",
            ["state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.waiting = Gauge(
            "tasks_backend_database_waiting",
            "Requests that stand in line for a connection.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.key_set_age = Gauge(
            "tasks_backend_key_set_age_seconds",
            "Since the keys were last confirmed; of several workers, the oldest. -1 before.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.key_set_fetches = Counter(
            "tasks_backend_key_set_fetches",
            "Fetches of the key set.",
            ["outcome"],
            registry=registry,
        )
