"""The documents agree with the code, and their examples are run."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from support import documents

from tasks_backend import Plugin, Settings, create_app, errors
from tasks_backend.db.failures import Failure

ROOT = Path(__file__).parents[1]


def codes(kind: type[errors.ApiError]) -> set[tuple[int, str]]:
    found = (
        {(kind.status, kind.code)} if hasattr(kind, "code") and hasattr(kind, "status") else set()
    )
    own = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return found.union(*(codes(child) for child in own))  # plugins of other tests add more


@pytest.mark.proves("FR-011")
def test_the_error_document_lists_exactly_the_codes_with_their_status() -> None:
    rows = re.findall(
        r"^\| (\d{3}) \| `(\w+)` \| .+\. ?\|$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len(set(rows)) == 22
    assert {(int(status), code) for status, code in rows} == codes(errors.ApiError)


def test_the_drawn_tree_of_failures_is_right() -> None:
    drawn = re.findall(r"(\w+) +(\d{3})  (\w+)$", errors.__doc__ or "", re.MULTILINE)
    assert {(int(status), code) for _, status, code in drawn} == codes(errors.ApiError)
    for name, status, code in drawn:
        kind = getattr(errors, name)
        assert (kind.status, kind.code) == (int(status), code)


def test_each_class_of_failure_is_explained_and_each_bound_is_the_default() -> None:
    document = (ROOT / "docs/reliability.md").read_text()
    explained = set(re.findall(r"^\| ([a-z ]+) \|.*\| (?:\d{3}) `", document, re.MULTILINE))
    classes = {kind.name.lower().replace("_", " ") for kind in Failure} - {"unexpected"}
    assert explained == classes | {"anything else"}
    bounds = re.findall(r"^\|[^|`]+\| ([^|]*`[A-Z_]+`[^|]*) \| ([^|]+) \|$", document, re.MULTILINE)
    assert len(bounds) == 7
    for names, values in bounds:
        for name, value in zip(
            re.findall(r"`([A-Z_]+)`", names), re.split("[,;] ", values), strict=False
        ):
            number, _, unit = value.partition(" ")
            default = Settings.model_fields[name.lower()].default
            assert int(number) * {"KiB": 1024}.get(unit, 1) == default, name


def test_links_between_documents_resolve() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        links = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", document.read_text())
        for target, anchor in links:
            linked = document.parent / target if target else document
            assert linked.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(linked), f"{document.name}: {target}#{anchor}"


def anchors(document: Path) -> set[str]:
    """Return the anchors that a repository's page gives a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    texts = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def test_files_that_the_documents_name_exist() -> None:
    roots = (ROOT, ROOT / "tasks_backend", ROOT / "tests/plugin/audit")
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"`([\w-][\w./-]*/[\w.-]+\.py)`", document.read_text()):
            assert any((root / name).exists() for root in roots), f"{document.name}: {name}"


def test_every_module_and_room_is_in_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = {
        path.name for path in (ROOT / "tasks_backend").iterdir() if not path.name.startswith("_")
    }
    former = {"server.py", "observation.py", "py.typed"}
    for room in rooms - former:
        assert f"`{room}`" in text or f"`{room}/`" in text, room


def blocks(document: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL
    )


def test_the_python_of_the_readme_runs(settings: Settings) -> None:
    (block,) = blocks("README.md")
    names: dict[str, object] = {}
    exec(block.replace("postgresql://…", settings.database_url), names)
    assert isinstance(names["app"], FastAPI)


def test_the_plugin_of_the_architecture_runs(settings: Settings) -> None:
    (block,) = blocks("docs/architecture.md")
    names: dict[str, object] = {}
    exec(block, names)
    plugin = names["plugin"]
    assert isinstance(plugin, Plugin)
    create_app(settings, plugins=[plugin])


def test_every_command_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    noxfile = (ROOT / "noxfile.py").read_text()
    for session in re.findall(r"nox -s (\w+)", text):
        assert f"def {session}(" in noxfile


@pytest.mark.parametrize(
    "program",
    ["auth.mjs", "route.mjs", "tasks.mjs", "tasks-server.mjs", "tasks-token.mjs", "deletion.mjs"],
)
def test_the_shown_javascript_is_the_tested_one(program: str) -> None:
    """The session `better-auth` runs it against a real server."""
    shown = re.findall(
        r"^```js\n(.*?)^```", (ROOT / "docs/auth.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert (ROOT / "tests/better_auth/app" / program).read_text() in shown


def test_the_openapi_document_lists_exactly_the_codes() -> None:
    """As known ones: a plugin and a later release may add codes."""
    code = documents.document()["components"]["schemas"]["Problem"]["properties"]["code"]
    known = sorted(code for _, code in codes(errors.ApiError))
    assert code["type"] == "string"
    assert "enum" not in code
    assert code["examples"] == known
    assert code["description"].endswith(f"Known: {', '.join(known)}.")


def test_the_shown_typescript_is_the_tested_one() -> None:
    """The session `typescript` runs it in a real Next.js."""
    document = (ROOT / "docs/clients.md").read_text()
    program = ROOT / "tests/typescript/next"
    shown = re.findall(r"^`(\S+)`:\n\n```tsx?\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    linked = re.findall(r"\]\(\.\./tests/typescript/next/([^)]+)\) \|", document)
    assert len(shown) == document.count("```ts") == 4
    assert sorted([*dict(shown), *linked]) == sorted(
        str(path.relative_to(program))
        for room in ("lib", "app/tasks", "app/export")
        for path in (program / room).rglob("*.ts*")
    )
    for name, text in shown:
        assert (program / name).read_text() == text, name
