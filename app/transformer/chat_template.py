"""Chats → prompts: a model's own Jinja template, rendered in a sandbox, as a model folder's makers wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from app.errors import IntegrityError, InvalidInput

Message = Mapping[str, Any]

TEMPLATE_NAME = "chat_template.jinja"
_MORE_TEMPLATES = "additional_chat_templates"


class ChatTemplate:
    """Returns the prompt of a chat. The template is somebody else's code: it sees its arguments and nothing more.

    Args:
        sources: templates by name; "default" is used, "tool_use" when tools are given, if there is one.
        special_tokens: `bos_token` and the like, which templates write by name.

    Raises:
        IntegrityError: a template is not valid Jinja.
    """

    def __init__(self, sources: Mapping[str, str], special_tokens: Mapping[str, str]) -> None:
        environment = _environment()
        self.sources = dict(sources)
        self._special_tokens = dict(special_tokens)
        self._templates: dict[str, jinja2.Template] = {}
        for name, source in sources.items():
            try:
                self._templates[name] = environment.from_string(source)
            except TemplateError as error:
                raise IntegrityError(f"chat template {name!r} is not valid Jinja: {error}; fetch it again") from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> str:
        """Return the prompt's text, its special tokens spelled out.

        Args:
            messages: `role` and `content` each, the oldest first.
            add_generation_prompt: end with what opens the assistant's turn.
            tools: JSON Schemas of functions that the model may call.
            documents: `title` and `text` each, for templates that have a place for them.
            variables: what else a template reads, such as `enable_thinking`.

        Raises:
            InvalidInput: no message, one without a role, or the template refuses the chat; its reason is given.
        """
        if not messages or any("role" not in message for message in messages):
            raise InvalidInput("messages must be one or more objects with a `role` and a `content`")
        name = "tool_use" if tools and "tool_use" in self._templates else "default"
        if name not in self._templates:
            raise InvalidInput(f"this model has chat templates {sorted(self._templates)}, but none called 'default'")
        known = {**self._special_tokens, **variables}
        try:
            return self._templates[name].render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                tools=tools,
                documents=documents,
                **known,
            )
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise InvalidInput(f"the model's chat template refuses this chat: {error}; change its messages") from error


def read_template_sources(folder: Path, tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """Return the chat templates of a model folder by name; none when it has none.

    `chat_template.jinja` counts before what tokenizer_config.json says, as the newer place.

    Raises:
        IntegrityError: a template is no text.
    """
    said = tokenizer_config.get("chat_template")
    sources: dict[str, Any] = {}
    if isinstance(said, list):
        sources = {str(each.get("name")): each.get("template") for each in said if isinstance(each, Mapping)}
    elif said is not None:
        sources = {"default": said}
    if (folder / "chat_template.json").is_file() and not sources:
        sources = {"default": json.loads((folder / "chat_template.json").read_text("utf-8")).get("chat_template")}
    if (folder / TEMPLATE_NAME).is_file():
        sources["default"] = (folder / TEMPLATE_NAME).read_text(encoding="utf-8")
    for path in sorted((folder / _MORE_TEMPLATES).glob("*.jinja")):
        sources[path.stem] = path.read_text(encoding="utf-8")
    for name, source in sources.items():
        if not isinstance(source, str):
            raise IntegrityError(f"{folder}: chat template {name!r} is no text: fetch tokenizer_config.json again")
    return sources


class _GenerationBlock(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's words for training; here it only shows them."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _PlainNamespace(Namespace):
    """Jinja's `namespace()` without names that begin with an underscore, the usual first step out of a sandbox."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in dict(*args, **kwargs):
            _check_name(name)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template may not set {name!r}: names with a leading underscore are private")


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    environment.globals["namespace"] = _PlainNamespace
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which a model has never seen.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)
