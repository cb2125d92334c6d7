"""How an operation of a raw face is written down for the OpenAPI document."""

from __future__ import annotations

from typing import Any

REF = "#/components/schemas/{model}"
JSON = "application/json"


def operation(
    tag: str,
    name: str,
    summary: str,
    answer: dict[str, Any],
    *,
    status: int = 200,
    media: str = JSON,
    **more: Any,
) -> dict[str, Any]:
    """Return one operation: its answer, and the problem document in place of it."""
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    return {
        "tags": [tag],
        "operationId": name,
        "summary": summary,
        "responses": {
            str(status): {"description": "Success", "content": {media: answer}},
            "default": {"description": "The platform's failure", "content": problem},
        },
        **more,
    }


def model(name: str) -> dict[str, Any]:
    """Return content that one of the document's models describes."""
    return {"schema": {"$ref": REF.format(model=name)}}


def parameter(place: str, name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Return a parameter in the path, query or header; text unless `schema` says otherwise."""
    return {
        "in": place,
        "name": name,
        "required": place == "path",
        "description": description,
        "schema": schema or {"type": "string"},
    }


def body(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a body of JSON."""
    return {"required": True, "content": {JSON: answer}}


SESSION = parameter("header", "X-Session-Id", "The Session (a rollout) that the call belongs to.")
