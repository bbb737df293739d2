"""`/docs` of a deployed service, here as a part of a larger application."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from playwright.sync_api import BrowserContext, expect

from browser.docs_page import DocsPage
from browser.log import BrowserLog
from tasks_backend import Settings, create_app
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer


def test_a_pasted_token_works_and_is_not_stored_and_addresses_are_right(
    context: BrowserContext, log: BrowserLog, settings: Settings, signer: Signer, screenshots: Path
) -> None:
    service = create_app(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.router.lifespan_context(service):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/tasks", service)
    with served(outer) as url:
        docs = DocsPage(context.new_page(), f"{url}/tasks", defaultdict(set), screenshots)
        docs.open()
        expect(docs.page.get_by_text("Development")).to_have_count(0)
        docs.keep("8-deployed")
        assert docs.run("tasks_v1_list_tasks").body["code"] == "missing_token"
        docs.paste(signer.token("somebody"))
        created = docs.run("tasks_v1_create_task")
        assert created.status == 201
        assert f"location: /tasks/api/v1/tasks/{created.body['id']}" in created.headers
        assert docs.run("tasks_v1_get_task").body == created.body
        kept = docs.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert kept == '[{},{},""]'
        docs.open()
        docs.page.reload()
        assert docs.run("tasks_v1_list_tasks").status == 401
        assert log.origins == {url}
