"""`create_app(settings)`: the FastAPI application. It answers at once; `/health/ready` says when it can work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from pydantic import SecretStr
from starlette.routing import Route

from app.api import (
    admin,
    ask,
    calibrations,
    collections,
    content,
    dify,
    documents,
    errors,
    evaluations,
    feedback,
    health,
    jobs,
    query,
    query_construct,
    query_route,
    reference,
    rerankers,
    routes,
    search,
    web,
)
from app.api.boundary import Boundary
from app.api.gate import Gate, is_loopback
from app.api.keys import KeyRing, RateLimiter
from app.api.mcp import McpEndpoint
from app.api.openai import surface as openai
from app.api.openai.error_shape import documented_errors, speaks_openai
from app.api.state import ApiState
from app.errors import InvalidInput
from app.settings import Settings

if TYPE_CHECKING:
    from app.bootstrap import Services

VERSION = "0.1.0"
_DESCRIPTION = """Answers from your own documents, each claim with the exact characters that carry it.

Offsets are Unicode code points into `GET /v1/documents/{id}/text`, half-open `[char_start, char_end)`.
Errors are RFC 9457 problem documents. Every response has an `X-Request-ID`."""


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """The application; with `services` it is ready at once and leaves closing them to the caller.

    Raises:
        InvalidInput: the API keys cannot be read.
    """
    keys = KeyRing(secrets_of(settings))
    state = ApiState(settings, services)
    mcp = McpEndpoint(state)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        structlog.get_logger("api").info("settings", settings=settings.redacted())
        loading = asyncio.create_task(_load(state))
        try:
            yield
        finally:
            await mcp.close()
            await loading  # a thread cannot be stopped half-way; what it built must be closed
            await asyncio.to_thread(state.close)

    app = FastAPI(
        title="Attest",
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.attest = state
    errors.install(app)
    for surface in (
        health,
        documents,
        content,
        jobs,
        collections,
        ask,
        search,
        query,
        query_construct,
        query_route,
        routes,
        feedback,
        evaluations,
        rerankers,
        calibrations,
        admin,
        dify,
        reference,
        web,
    ):
        app.include_router(surface.router)
    for router in openai.ROUTERS:
        app.include_router(router)
    app.router.routes.append(Route("/mcp", endpoint=mcp, methods=["GET", "POST", "DELETE"]))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    limits = settings.limits
    app.add_middleware(
        Gate,
        keys=keys,
        limiter=RateLimiter(limits.requests_per_minute),
        bound_host=settings.server.host,
        cors_origins=settings.server.cors_origins,
        document_bytes=limits.upload_bytes,
        form_bytes=limits.form_bytes,
        evaluation_bytes=limits.evaluation_bytes,
    )
    if settings.server.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.server.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(Boundary, metrics=lambda: state.metrics)  # added last: outermost
    return app


def check_bind(settings: Settings) -> None:
    """Returns when the address may be bound.

    Raises:
        InvalidInput: it can be reached from other machines, there are no API keys, and nobody asked for that.
    """
    server = settings.server
    if is_loopback(server.host) or server.allow_open or KeyRing(secrets_of(settings)):
        return
    raise InvalidInput(
        f"host {server.host!r} can be reached from other machines and no API keys are set, so anyone could read and "
        "delete everything: set ATTEST_API_KEYS, bind 127.0.0.1, or set ATTEST_SERVER__ALLOW_OPEN=true"
    )


def secrets_of(settings: Settings) -> list[str]:
    """The entries of `ATTEST_API_KEYS` in the clear; empty when none are set."""
    entries = settings.api_keys or ()
    if isinstance(entries, str):
        entries = tuple(SecretStr(part.strip()) for part in entries.split(",") if part.strip())
    return [entry.get_secret_value() for entry in entries]


async def _load(state: ApiState) -> None:
    await state.load(_build)
    await asyncio.to_thread(state.start_background)


def _build(settings: Settings) -> Services:
    from app.bootstrap import build_services  # here, on the loading thread: it imports torch

    return build_services(settings)


def _string_keys(responses: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(status): response for status, response in responses.items()}


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = schema.setdefault("components", {})
        models = components.setdefault("schemas", {})
        for model in (errors.Problem, errors.FieldProblem):
            models[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
            models[model.__name__].pop("$defs", None)
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                if speaks_openai(path):
                    operation["responses"].pop("422", None)
                    operation["responses"].update(_string_keys(documented_errors()))
                elif "HTTPValidationError" in str(operation["responses"].get("422")):  # FastAPI's own, not ours
                    operation["responses"].update(_string_keys(errors.documented(422)))
        models.pop("HTTPValidationError", None)
        models.pop("ValidationError", None)
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        schema["security"] = [{"bearer": []}, {"apiKey": []}, {}]
        app.openapi_schema = schema
    return app.openapi_schema
