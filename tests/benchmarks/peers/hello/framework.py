"""FastAPI's hello world, at the address of a task."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/api/v1/tasks/{task_id}")
async def hello(task_id: str) -> dict[str, str]:
    return {"hello": task_id}
