"""A chat model as a `TextModel`: one text for one conversation, what it thinks aloud left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.generation.chat import ChatModel, ThoughtFilter
from app.types import GenerationOptions, Message


class ChatTextModel:
    """Implements `TextModel`. A local model is bound to the schema; a server is asked to bind its own."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._model.name

    def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        """The most probable text. Raises Cancelled, Unavailable, Overloaded as the model does."""
        thoughts = ThoughtFilter()
        options = GenerationOptions(max_tokens=max_tokens, json_schema=None if schema is None else json.dumps(schema))
        pieces = [thoughts.feed(delta.text) for delta in self._model.chat(messages, options, cancelled)]
        return "".join([*pieces, thoughts.finish()])
