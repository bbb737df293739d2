"""The example task, user and cursor, used everywhere in the OpenAPI document."""

from tasks_backend.http.pagination import encode as encode_cursor

TASK_ID = "019aa1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
USER_ID = "DTKOCvCP375T3awBOoJKoPfL3YTi3Gu1"
TITLE = "Buy milk"
DESCRIPTION = "Two litres, the one with the blue lid."
SEARCH = "milk"
TIME = "2026-01-09T12:00:00.123456Z"
CURSOR = encode_cursor(TASK_ID, "desc None")
TASK = {
    "id": TASK_ID,
    "user_id": USER_ID,
    "title": TITLE,
    "description": DESCRIPTION,
    "completed": False,
    "created_at": TIME,
    "updated_at": TIME,
}
