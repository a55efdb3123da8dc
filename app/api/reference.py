"""`/openapi.json`, and `/docs`: the reference as one page that needs no script and no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

router = APIRouter(include_in_schema=False)

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.45 ui-monospace,monospace}
pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:.4rem}
details{border:1px solid #8886;border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}
summary b{display:inline-block;min-width:4.5rem;font-family:ui-monospace,monospace}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem .2rem 0;vertical-align:top}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The reference, rendered from the OpenAPI document."""
    return HTMLResponse(reference_page(request.app.openapi()), headers={"Content-Security-Policy": PAGE_POLICY})


def reference_page(schema: Mapping[str, Any]) -> str:
    """The HTML page of an OpenAPI document; everything in it is escaped."""
    schemas = schema.get("components", {}).get("schemas", {})
    body = "".join(_operations(schema))
    models = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<pre>{escape(json.dumps(model, indent=2, ensure_ascii=False))}</pre></details>"
        for name, model in sorted(schemas.items())
    )
    title = escape(f"{schema['info']['title']} {schema['info']['version']}")
    about = "".join(f"<p>{escape(part)}</p>" for part in schema["info"].get("description", "").split("\n\n"))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{about}"
        '<p>Machine-readable: <a href="/openapi.json">/openapi.json</a></p>'
        f"{body}<h2>Schemas</h2>{models}</body></html>"
    )


def _operations(schema: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation.get("tags", ["other"])[0], []).append(_operation(method, path, operation))
    for tag, operations in by_tag.items():
        yield f"<h2>{escape(tag.capitalize())}</h2>{''.join(operations)}"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}</td>"
        f"<td>{_type_of(item.get('schema', {}))}</td><td>{escape(item.get('description') or '')}</td></tr>"
        for item in operation.get("parameters", ())
    )
    bodies = "".join(
        f"<p>Body <code>{escape(media)}</code>: {_type_of(content.get('schema', {}))}</p>"
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    responses = "".join(
        f"<tr><td>{escape(str(status))}</td><td>{escape(response.get('description', ''))}</td><td>"
        + ", ".join(_type_of(content.get("schema", {})) for content in response.get("content", {}).values())
        + "</td></tr>"
        for status, response in operation.get("responses", {}).items()
    )
    return (
        f"<details><summary><b>{escape(method.upper())}</b> <code>{escape(path)}</code></summary>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + bodies
        + f"<table>{responses}</table></details>"
    )


def _type_of(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(_type_of(choice) for choice in choices)
    if "enum" in schema:
        return escape(" | ".join(json.dumps(value) for value in schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    return escape(str(schema.get("title") or schema.get("type") or "any"))
