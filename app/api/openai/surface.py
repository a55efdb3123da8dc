"""The routers of the OpenAI-shaped surface."""

from __future__ import annotations

from app.api.openai import chat, embeddings, files, models, rerank, responses, vector_store_files, vector_stores

ROUTERS = (
    chat.router,
    responses.router,
    models.router,
    embeddings.router,
    rerank.router,
    files.router,
    vector_stores.router,
    vector_store_files.router,
)
