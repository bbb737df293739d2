"""Erasing the users whom Better Auth no longer has, and nobody else."""

import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.commands import invoked
from typer.testing import Result

from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster

IDS = 'SELECT id FROM "user"'


@dataclass(frozen=True)
class Deployment:
    cluster: Cluster
    name: str
    environment: dict[str, str]
    home: Path

    def execute(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.cluster.cursor(self.name) as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall()) if cursor.description else []

    def fill(self, *subjects: str) -> None:
        """Make these the service's only users, each with a task."""
        self.execute(
            "DELETE FROM tasks_backend.users;"
            "INSERT INTO tasks_backend.users (id) SELECT unnest(%s::text[]);"
            "INSERT INTO tasks_backend.tasks (id, user_id, title)"
            " SELECT gen_random_uuid(), id, 'x' FROM tasks_backend.users",
            [*subjects],
        )

    def users(self) -> list[str]:
        query = "SELECT DISTINCT user_id FROM tasks_backend.tasks ORDER BY user_id"
        return [user for (user,) in self.execute(query)]

    def purge(self, *arguments: str) -> Result:
        return invoked(self.home, "purge-user", *arguments, **self.environment)


def deployed(cluster: Cluster, attributes: str, home: Path) -> Deployment:
    owner = cluster.login(attributes)
    name, url = cluster.database(owner)
    migrations.upgrade(url)
    deployment = Deployment(cluster, name, {"DATABASE_URL": url}, home)
    deployment.execute(
        f'SET ROLE {owner}; CREATE TABLE public."user" (id text, email text);'
        "CREATE TABLE public.users (id int); CREATE TABLE public.organization (id uuid);"
        'CREATE SCHEMA neon_auth; CREATE TABLE neon_auth."user" (id uuid)'
    )
    return deployment


@pytest.fixture(scope="module")
def deployment(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A database that Better Auth shares, with the attributes of Neon's owner."""
    return deployed(cluster, NEON_OWNER, tmp_path_factory.mktemp("home"))


def fill_better_auth(deployment: Deployment, ids: Sequence[object]) -> None:
    deployment.execute('DELETE FROM public."user"')
    deployment.execute('INSERT INTO public."user" SELECT unnest(%s::text[])', [*ids])


U = [str(uuid.UUID(int=n)) for n in range(4)]


@pytest.mark.proves("FR-023")
@pytest.mark.parametrize(
    ("subjects", "fill", "query"),
    [
        (["a1", "b2", "c3"], """public."user" VALUES ('a1'), ('b2'), ('new'), (NULL)""", IDS),
        (["a@x.de", "b@x.de", "c@x.de"], """public."user" VALUES ('1', 'a@x.de'), ('2', 'b@x.de')""", 'SELECT email FROM "user";'),
        (["1", "2", "3"], "public.users VALUES (1), (2)", "SELECT id FROM users -- all"),
        (U[:3], f"public.organization VALUES ('{U[0]}'), ('{U[1]}')", "TABLE organization"),
        (U[:3], f"""neon_auth."user" VALUES ('{U[0]}'), ('{U[1]}')""", 'SELECT id FROM neon_auth."user"'),
        (["10%a", "%(b)s", "c%"], """public."user" VALUES ('10%a'), ('%(b)s')""", """SELECT id FROM "user" WHERE id LIKE '%'"""),
    ],
    ids=["text", "e-mail", "serial, renamed", "organization", "neon_auth", "percent"],
)  # fmt: skip
def test_only_the_unknown_user_is_erased(
    deployment: Deployment, subjects: list[str], fill: str, query: str
) -> None:
    for table in ('public."user"', "public.users", "public.organization", 'neon_auth."user"'):
        deployment.execute(f"DELETE FROM {table}")
    with deployment.cluster.cursor(deployment.name) as cursor:
        cursor.execute(f"INSERT INTO {fill}")
    deployment.fill(*subjects)
    shown = deployment.purge("--not-in", query, "--dry-run")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, f"{subjects[2]}\n", "")
    assert len(deployment.users()) == 3
    purged = deployment.purge("--not-in", query, "--yes")
    assert (purged.exit_code, purged.stdout) == (0, f"{subjects[2]}\n")
    assert purged.stderr == "Erased 1 user and 1 task.\n"
    assert deployment.users() == sorted(subjects[:2])
    again = deployment.purge("--not-in", query, "--yes")
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr == "No unknown user among 2: nothing to erase.\n"


@pytest.mark.parametrize("attributes", [PLAIN_OWNER, SUPERUSER, "least privileged"])
def test_every_kind_of_login_erases_the_unknown_user(
    cluster: Cluster, tmp_path: Path, attributes: str
) -> None:
    """Policies are in force again afterwards. The service's own login does not see all users."""
    least = attributes == "least privileged"
    deployment = deployed(cluster, NEON_OWNER if least else attributes, tmp_path)
    forced = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'tasks_backend.users'::regclass"
    fill_better_auth(deployment, ["a", "b"])
    deployment.fill("a", "b", "c")
    if least:
        login = cluster.login("NOINHERIT")
        deployment.execute(f"GRANT tasks_app TO {login}")
        owner = deployment.environment["DATABASE_URL"]
        deployment.environment["DATABASE_URL"] = cluster.url_of(deployment.name, login)
        refused = deployment.purge("--not-in", IDS, "--yes")
        assert refused.exit_code == 1
        assert "DATABASE_URL_UNPOOLED" in refused.stderr
        deployment.environment["DATABASE_URL_UNPOOLED"] = owner
    purged = deployment.purge("--not-in", IDS, "--yes")
    assert (purged.exit_code, purged.stdout) == (0, "c\n"), purged.stderr
    assert deployment.users() == ["a", "b"]
    assert deployment.execute(forced) == [(True,)]


@pytest.mark.proves("FR-023")
@pytest.mark.parametrize(
    ("known", "more", "message"),
    [
        ([], (), "no subject is known"),
        (["other"], (), "none of the 4 users"),
        (["a", "other"], (), "more than half"),
        (["a", "b", "c"], ("--at-most", "0"), "--at-most"),
        ([], ("--at-most", "3"), "--at-most"),
    ],
)
def test_it_refuses_to_erase_nearly_everybody(
    deployment: Deployment, known: list[str], more: tuple[str, ...], message: str
) -> None:
    fill_better_auth(deployment, known)
    deployment.fill("a", "b", "c", "d")
    for more_still in ((), ("--dry-run",)):
        refused = deployment.purge("--not-in", IDS, "--yes", *more, *more_still)
        assert (refused.exit_code, refused.stdout.split()) == (1, sorted({*"abcd"} - {*known}))
        assert message in refused.stderr
    assert deployment.users() == ["a", "b", "c", "d"]


def test_nearly_everybody_is_erased_if_the_number_is_allowed(deployment: Deployment) -> None:
    fill_better_auth(deployment, [])
    deployment.fill("a", "b")
    purged = deployment.purge("--not-in", IDS, "--yes", "--at-most", "2")
    assert (purged.exit_code, purged.stderr) == (0, "Erased 2 users and 2 tasks.\n")
    assert deployment.users() == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name a user"),
        (("a", "--not-in", IDS), 2, "name a user"),
        (("a", "--dry-run"), 2, "--dry-run and --at-most need"),
        (("a", "--at-most", "1"), 2, "--dry-run and --at-most need"),
        (("--not-in", IDS), 2, "--yes"),
        (("--not-in", 'SELECT nothing FROM "user"', "--yes"), 1, "nothing"),
        (("--not-in", "SELECT id FROM absent", "--yes"), 1, "absent"),
        (("--not-in", 'DELETE FROM "user" RETURNING id', "--yes"), 1, "syntax error"),
        (("--not-in", "SELECT 'a') AS x(subject); DELETE FROM \"user\"; SELECT 1 FROM (SELECT 1", "--yes"), 1, "read-only"),
    ],
)  # fmt: skip
def test_a_wrong_call_erases_nobody(
    deployment: Deployment, arguments: tuple[str, ...], code: int, message: str
) -> None:
    fill_better_auth(deployment, ["a", "b"])
    deployment.fill("a", "b", "c")
    refused = deployment.purge(*arguments)
    assert refused.exit_code == code
    assert message in refused.stderr
    assert deployment.users() == ["a", "b", "c"]
    assert deployment.execute('SELECT count(*) FROM "user"') == [(2,)]


def test_a_list_erases_nobody_who_came_after_it(deployment: Deployment) -> None:
    deployment.fill("1", "2", "x", "late")
    deployment.execute(
        "UPDATE tasks_backend.users SET created_at = now() + interval '1 h' WHERE id = 'late'"
    )
    path = deployment.home / "ids.json"
    path.write_text(json.dumps([1, "2", "unused"]))
    os.utime(path, (time.time() + 60, time.time() + 60))  # after the users of this test
    purged = deployment.purge("--not-in-file", str(path), "--yes")
    assert (purged.exit_code, purged.stdout) == (0, "x\n")
    assert purged.stderr == ("Left out, newer than the list: 1 user.\nErased 1 user and 1 task.\n")
    assert deployment.users() == ["1", "2", "late"]


@pytest.mark.parametrize(
    "text", ['["1", "2', "", "null", '{"1": 2}', "[true]", "[1.5]", '["\udcff"]']
)
def test_a_damaged_list_erases_nobody(deployment: Deployment, text: str) -> None:
    """Above all one that was cut off."""
    deployment.fill("1", "2", "3")
    path = deployment.home / "damaged.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    refused = deployment.purge("--not-in-file", str(path), "--yes")
    assert refused.exit_code == 2
    assert "no list of subjects" in refused.stderr
    assert deployment.users() == ["1", "2", "3"]
