"""A database URL alone says how to connect: libpq's variables in the environment do not count."""

import ctypes
from itertools import count, takewhile
from pathlib import Path

import httpx2
import psycopg2
import pytest
from support.commands import process, run

from tasks_backend import Settings, create_app
from tasks_backend.settings.environment import LIBPQ
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer

HOSTILE = {
    "PGCLIENTENCODING": "LATIN1",
    "PGCONNECT_TIMEOUT": "soon",
    "PGDATABASE": "other",
    "PGDATESTYLE": "SQL, DMY",
    "PGGEQO": "perhaps",
    "PGHOST": "elsewhere.invalid",
    "PGHOSTADDR": "192.0.2.1",
    "PGOPTIONS": "-c default_transaction_read_only=on -c nonsense=1",
    "PGPASSFILE": "/nowhere",
    "PGPASSWORD": "p4ss",
    "PGPORT": "1",
    "PGREQUIREAUTH": "none,!none",
    "PGSERVICE": "nowhere",
    "PGSSLMODE": "perhaps",
    "PGTARGETSESSIONATTRS": "standby",
    "PGTZ": "Nowhere",
    "PGUSER": "nobody",
}


class Option(ctypes.Structure):
    """PQconninfoOption."""

    _fields_ = (
        ("keyword", ctypes.c_char_p),
        ("variable", ctypes.c_char_p),
        ("rest", ctypes.c_char_p * 4),
        ("size", ctypes.c_int),
    )


def test_every_variable_of_the_installed_libpq_is_known() -> None:
    defaults = ctypes.CDLL(psycopg2._psycopg.__file__).PQconndefaults  # noqa: SLF001 - its libpq
    defaults.restype = ctypes.POINTER(Option)
    options = takewhile(lambda option: option.keyword, map(defaults().__getitem__, count()))
    names = {option.variable.decode() for option in options if option.variable}
    assert "PGOPTIONS" in names
    assert names <= LIBPQ


def test_no_command_inherits_them_and_each_names_them(
    tmp_path: Path, cluster: Cluster, key_server: KeyServer, signer: Signer
) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    issuer = {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "JWKS_URL": key_server.url}
    variables = {**HOSTILE, **issuer, "DATABASE_URL": url}
    names = ", ".join(sorted(HOSTILE))
    migrated = run(tmp_path, "migrate", **variables)
    assert migrated.returncode == 0, migrated.stderr
    assert migrated.stderr == f"ignored: {names} (the database URL alone counts)\n"
    headers = {"Authorization": f"Bearer {signer.token('ann')}"}
    with process(tmp_path, "--workers", "2", **variables) as service:
        created = httpx2.post(
            f"{service.url}/api/v1/tasks",
            json={"title": "Milch für Ünal"},
            headers=headers,
            timeout=30,
        )
        assert created.status_code == 201, created.text
    log = service.program.log.read_text()
    assert names in log
    examined = run(tmp_path, "doctor", **variables)
    assert examined.returncode == 0, examined.stdout
    assert f"Ignored: {names}." in examined.stdout
    exported = run(tmp_path, "export-user", "ann", **variables)
    assert "Milch für Ünal" in exported.stdout
    purged = run(tmp_path, "purge-user", "ann", "--yes", **variables)
    assert purged.stdout == "Erased the user and 1 task.\n"
    for output in (log, examined.stdout, exported.stderr, purged.stderr):
        assert "p4ss" not in output


def test_an_application_in_a_foreign_process_names_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process's owner may need them for connections of its own."""
    monkeypatch.setenv("PGAPPNAME", "theirs")
    with served(create_app(settings)):
        pass
    assert (
        "libpq takes from the environment what DATABASE_URL does not say: PGAPPNAME" in caplog.text
    )
    caplog.clear()
    monkeypatch.delenv("PGAPPNAME")
    with served(create_app(settings)):
        pass
    assert "libpq" not in caplog.text
