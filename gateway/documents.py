"""The interface documents, of HTTP and of the bus, each as JSON and as a page that needs nothing from elsewhere."""

from collections.abc import Callable, Iterator
from functools import cache
from html import escape
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse

from gateway.rights import public, walk

router = APIRouter(prefix="/api", dependencies=[Depends(public)], include_in_schema=False)
ONLY_STYLE = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
summary{cursor:pointer;padding:.3rem}code,pre{font:13px ui-monospace,monospace}pre{overflow:auto;background:#8881}
summary b{display:inline-block;width:4.5rem}small{opacity:.7}details{border-bottom:1px solid #8884}"""


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """The OpenAPI document, with the access rule of each operation as `x-access`."""
    return JSONResponse(_document(request))


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The same for people: every operation, its rule, its parameters and its bodies."""
    document = _document(request)
    parts = "".join(_operations(document))
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(document['info']['title'])} API</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
        f"<h1>{escape(document['info']['title'])} API</h1><p>Errors are problem+json with <code>code</code>, "
        f"<code>detail</code>, <code>who</code> must act and what to do <code>next</code>. "
        f"<a href=openapi.json>openapi.json</a></p>{parts}</html>",
        headers={"Content-Security-Policy": ONLY_STYLE},
    )


def messages(document: Callable[[], dict[str, Any]], page: Callable[[dict[str, Any]], str]) -> APIRouter:
    """The routes of what other programs may say and hear on the bus: the AsyncAPI document, and its page.

    They are made when somebody asks for the first time: it would be a third of the time in which a gateway starts.
    """
    document = cache(document)
    made = APIRouter(dependencies=[Depends(public)], include_in_schema=False)

    @made.get("/asyncapi.json")
    async def asyncapi() -> JSONResponse:
        """The AsyncAPI document."""
        return JSONResponse(document())

    @made.get("/asyncapi")
    async def asyncapi_page() -> HTMLResponse:
        """The same for people."""
        return HTMLResponse(page(document()), headers={"Content-Security-Policy": ONLY_STYLE})

    return made


def _document(request: Request) -> dict[str, Any]:
    """The framework's document, once completed with the rules."""
    app = request.app
    made: dict[str, Any] = app.openapi()
    if "x-complete" not in made:
        rules = {(method, route.path): route.rules for route in walk(app) for method in route.methods.split(",")}
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                operation["x-access"] = ", ".join(rules.get((method.upper(), path), ()))
        made["x-complete"] = True
    return made


def _operations(document: dict[str, Any]) -> Iterator[str]:
    tag = None
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            here = (operation.get("tags") or ["other"])[0]
            if here != tag:
                tag = here
                yield f"<h2>{escape(here)}</h2>"
            yield _operation(document, method, path, operation)


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<li><code>{escape(each['name'])}</code> <small>{escape(each['in'])}, "
        f"{escape(_kind(each.get('schema', {})))}</small> {escape(each.get('description', ''))}"
        for each in operation.get("parameters", ())
    )
    bodies = "".join(
        f"<p>Body <code>{escape(media)}</code></p><pre>{escape(_shape(document, content.get('schema', {})))}</pre>"
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> <small>{operation['x-access']}</small> "
        f"{escape(operation.get('summary', ''))}</summary><p>{escape(operation.get('description', ''))}</p>"
        f"<ul>{rows}</ul>{bodies}</details>"
    )


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    return str(schema.get("type", schema.get("$ref", "any").rpartition("/")[2]))


def _shape(document: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> str:
    """A schema as indented names and kinds."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "array":
        return "list of\n" + _shape(document, schema.get("items", {}), depth + 1)
    if "properties" not in schema:
        return "  " * depth + _kind(schema)
    lines = []
    for name, each in schema["properties"].items():
        needed = " (required)" if name in schema.get("required", ()) else ""
        lines.append(f"{'  ' * depth}{name}: {_kind(each)}{needed}")
        inner = each.get("items", each)
        if "$ref" in inner and depth < 3:
            lines.append(_shape(document, inner, depth + 1))
    return "\n".join(lines)
