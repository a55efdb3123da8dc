"""LlamaIndex' OpenAI-like classes against the server at ATTEST_URL; prints what came back as JSON."""

import asyncio
import json
import os
import sys

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

SERVER = {"api_base": f"{os.environ['ATTEST_URL']}/v1", "api_key": os.environ["ATTEST_KEY"]}
QUESTION = "What is the zebra fee?"


async def main() -> None:
    model = OpenAILike(model="default", is_chat_model=True, context_window=8_000, max_retries=0, **SERVER)
    turns = [
        ChatMessage(role=MessageRole.SYSTEM, content="Answer like a pirate."),
        ChatMessage(role=MessageRole.USER, content=QUESTION),
    ]
    whole = model.chat(turns)
    deltas = [piece.delta for piece in model.stream_chat(turns)]
    later = await model.achat([*turns, whole.message, ChatMessage(role=MessageRole.USER, content="And for class 2?")])
    streamed = [piece.delta async for piece in await model.astream_complete(QUESTION)]
    embedder = OpenAILikeEmbedding(model_name="any", max_retries=0, **SERVER)
    told = {
        "answer": whole.message.content,
        "citations": [citation["quote"] for citation in whole.raw.citations],
        "streamed": "".join(delta or "" for delta in deltas),
        "pieces": sum(bool(delta) for delta in deltas),
        "later": later.message.content,
        "completed": model.complete(QUESTION).text,
        "completed_stream": "".join(delta or "" for delta in streamed),
        "passages": embedder.get_text_embedding_batch(["zebra fee", "stripes"]),
        "query": await embedder.aget_query_embedding("zebra fee"),
    }
    sys.stdout.write(json.dumps(told))


asyncio.run(main())
