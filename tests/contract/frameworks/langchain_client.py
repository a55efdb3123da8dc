"""LangChain's classes for OpenAI against the server at ATTEST_URL; prints what came back as JSON."""

import asyncio
import json
import os
import sys
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

SERVER: dict[str, Any] = {"base_url": f"{os.environ['ATTEST_URL']}/v1", "api_key": os.environ["ATTEST_KEY"]}
QUESTION = "What is the zebra fee?"


async def main() -> None:
    chat = ChatOpenAI(model="default", temperature=0.7, max_retries=0, **SERVER)
    whole = chat.invoke([SystemMessage("Answer like a pirate."), HumanMessage(QUESTION)])
    pieces = list(ChatOpenAI(model="default", stream_usage=True, max_retries=0, **SERVER).stream(QUESTION))
    streamed = pieces[0]
    for piece in pieces[1:]:
        streamed += piece
    turns = [HumanMessage(QUESTION), AIMessage(whole.text), HumanMessage("And for class 2?")]
    batch = await chat.abatch([QUESTION, turns])
    tool = {"type": "file_search", "vector_store_ids": ["default"]}
    responses = ChatOpenAI(model="default", use_responses_api=True, max_retries=0, **SERVER).bind_tools([tool])
    cited = responses.invoke(QUESTION)
    cited_stream = "".join(piece.text for piece in responses.stream(QUESTION))
    # LangChain cuts texts into OpenAI's token ids by itself, which mean nothing to another model: switched off
    embedder = OpenAIEmbeddings(model="any", check_embedding_ctx_length=False, max_retries=0, **SERVER)
    told = {
        "answer": whole.text,
        "usage": whole.usage_metadata,
        "finish_reason": whole.response_metadata["finish_reason"],
        "streamed": streamed.text,
        "pieces": sum(bool(piece.text) for piece in pieces),
        "streamed_usage": streamed.usage_metadata,
        "batch": [message.text for message in batch],
        "cited": cited.text,
        "annotations": [note for block in cited.content for note in block.get("annotations", [])],
        "cited_stream": cited_stream,
        "passages": embedder.embed_documents(["zebra fee", "stripes"]),
        "query": embedder.embed_query("zebra fee"),
    }
    sys.stdout.write(json.dumps(told))


asyncio.run(main())
