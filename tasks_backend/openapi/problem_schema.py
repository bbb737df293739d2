"""The one shape of a failure (RFC 9457), as the document shows it."""

from typing import Literal

from pydantic import BaseModel, Field


class FieldError(BaseModel):
    """One thing that is wrong with one field."""

    field: str = Field(
        description="Its name, with dots between levels; empty for the whole or an unknown field.",
        examples=["title"],
    )
    location: Literal["body", "query", "path", "header", "cookie"] = Field(
        description="Where the field is.", examples=["body"]
    )
    code: str = Field(description="What is wrong, for a program.", examples=["string_too_short"])
    message: str = Field(description="What is wrong, for a person.", examples=["must not be empty"])


class Problem(BaseModel):
    """The shape of every failure (RFC 9457)."""

    type: str = Field(
        description="A relative reference that names the kind of problem.",
        examples=["/problems/validation-error"],
    )
    title: str = Field(
        description="The kind of problem in a few words.", examples=["Validation failed"]
    )
    status: int = Field(description="The HTTP status again.", examples=[422])
    detail: str = Field(
        description="What happened, in a sentence for a person.", examples=["1 field is invalid."]
    )
    instance: str = Field(description="The path that was asked for.", examples=["/api/v1/tasks"])
    code: str = Field(
        description="The kind of problem, for a program.",
    )
    request_id: str = Field(
        description="The `X-Request-Id` of this response.",
        examples=["4f0c2d7e9b1a4c3d8e5f6a7b8c9d0e1f"],
    )
    errors: list[FieldError] = Field(
        description="What is wrong with which field; empty when no single field is at fault.",
        examples=[
            [
                {
                    "field": "title",
                    "location": "body",
                    "code": "string_too_short",
                    "message": "must not be empty",
                }
            ]
        ],
    )
