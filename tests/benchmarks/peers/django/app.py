"""Django with ninja: its ORM, schemas in and out, pooled connections, threads of gunicorn."""

import os
import uuid
from datetime import datetime

import django
import jwt
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "OPTIONS": {"pool": {"min_size": 4, "max_size": 10}},
        }
    },
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF="app",
    USE_TZ=True,
)
django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402 - once there are settings
from django.db import models  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.shortcuts import get_object_or_404  # noqa: E402
from django.urls import path  # noqa: E402
from ninja import Field, NinjaAPI, Query, Schema, Status  # noqa: E402
from ninja.security import HttpBearer  # noqa: E402

keys = jwt.PyJWKClient(os.environ["JWKS_URL"])


class Task(models.Model):
    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    user_id = models.TextField()
    title = models.TextField()
    description = models.TextField(null=True)  # noqa: DJ001 - the tables are given
    completed = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "tasks"
        db_table = "tasks"
        managed = False

    def __str__(self) -> str:
        return self.title


class TaskIn(Schema):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    completed: bool = False


class TaskChange(Schema):
    title: str = Field(default="", min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    completed: bool = False


class TaskOut(Schema):
    id: uuid.UUID
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class TaskPage(Schema):
    items: list[TaskOut]
    next_cursor: uuid.UUID | None


class Bearer(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        try:
            claims = jwt.decode(
                token,
                keys.get_signing_key_from_jwt(token),
                algorithms=["EdDSA"],
                audience=os.environ["JWT_AUDIENCE"],
                issuer=os.environ["JWT_ISSUER"],
            )
        except jwt.PyJWTError:
            return None
        return str(claims["sub"])


api = NinjaAPI(auth=Bearer())


@api.post("/tasks", response={201: TaskOut})
def create_task(request: HttpRequest, body: TaskIn) -> Status:
    return Status(201, Task.objects.create(user_id=request.auth, **body.dict()))


@api.get("/tasks", response=TaskPage)
def list_tasks(
    request: HttpRequest, limit: int = Query(50, ge=1, le=100), cursor: uuid.UUID | None = None
) -> dict[str, object]:
    query = Task.objects.filter(user_id=request.auth).order_by("-id")
    if cursor is not None:
        query = query.filter(id__lt=cursor)
    tasks = list(query[: limit + 1])
    following = tasks[limit - 1].id if len(tasks) > limit else None
    return {"items": tasks[:limit], "next_cursor": following}


@api.get("/tasks/{uuid:task_id}", response=TaskOut)
def get_task(request: HttpRequest, task_id: uuid.UUID) -> Task:
    return get_object_or_404(Task, id=task_id, user_id=request.auth)


@api.patch("/tasks/{uuid:task_id}", response=TaskOut)
def patch_task(request: HttpRequest, task_id: uuid.UUID, body: TaskChange) -> Task:
    task = get_object_or_404(Task, id=task_id, user_id=request.auth)
    for name, value in body.dict(exclude_unset=True).items():
        setattr(task, name, value)
    task.save()
    return task


@api.post("/tasks/{uuid:task_id}/toggle", response=TaskOut)
def toggle_task(request: HttpRequest, task_id: uuid.UUID) -> Task:
    task = get_object_or_404(Task, id=task_id, user_id=request.auth)
    task.completed = not task.completed
    task.save()
    return task


@api.delete("/tasks/{uuid:task_id}", response={204: None})
def delete_task(request: HttpRequest, task_id: uuid.UUID) -> Status:
    get_object_or_404(Task, id=task_id, user_id=request.auth).delete()
    return Status(204, None)


urlpatterns = [path("api/v1/", api.urls)]
app = WSGIHandler()
