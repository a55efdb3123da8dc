"""Request bodies as Open WebUI and LibreChat build them: their fields and their layout, in words of our own.

Written after the public sources of Open WebUI (`routers/tasks.py`, `utils/middleware.py`, `utils/payload.py`,
`config.py`) and LibreChat (`@librechat/agents` `utils/title.ts`, the assistants' `title.js`), read in November 2026.
"""

from typing import Any

QUESTION = "What is the zebra fee?"
ANSWER = "The zebra fee is 30 euros. [1]"
HISTORY = f'USER: """{QUESTION}"""\nASSISTANT: """{ANSWER}"""'
QUOTED = f"<chat_history>\n{HISTORY}\n</chat_history>"
Body = dict[str, Any]


def open_webui_chat(**changed: Any) -> Body:
    """A turn in Open WebUI: its own bookkeeping is taken out before it sends, the sampling defaults are not."""
    return {
        "stream": True,
        "model": "default",
        "messages": [
            {"role": "system", "content": "Today is Sunday. Answer in the voice of a pirate."},
            {"role": "user", "content": "Hello there"},
            {"role": "assistant", "content": "Ahoy! Ask me about the zoo."},
            {"role": "user", "content": QUESTION},
        ],
        "temperature": 0.8,
        "top_p": 0.9,
        "max_tokens": 128,
        "frequency_penalty": 0,
        "stop": ["###"],
        "stream_options": {"include_usage": True},
        **changed,
    }


def open_webui_task(heading: str, *lines: str, output: str, **changed: Any) -> Body:
    """A background request of Open WebUI: one user message under headings, the conversation quoted at its end."""
    prompt = "\n".join(
        ("### Task:", heading, "### Guidelines:", *lines, "### Output:", output, f"### Chat History:\n{QUOTED}")
    )
    return {"model": "default", "messages": [{"role": "user", "content": prompt}], "stream": False, **changed}


def open_webui_with_file(question: str = QUESTION, *, around: bool = False) -> Body:
    """A turn with a file on it: the template with passages of the file stands before the words, or around them."""
    template = (
        "### Task:\nRespond to the user query using the provided context, with inline citations as [id].\n\n"
        "### Guidelines:\n- Say so when you do not know.\n\n"
        '<context>\n<source id="1" name="menu.pdf">Soup costs 4 euros. <context> is a word here.</source>\n</context>\n'
    )
    words = f"<user_query>\n{question}\n</user_query>" if around else f"\n{question}"
    return {"model": "default", "messages": [{"role": "user", "content": template + words}], "stream": False}


OPEN_WEBUI_TITLE = open_webui_task(
    "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
    "- Write in the language of the chat.",
    output='JSON format: { "title": "your concise title here" }',
    max_completion_tokens=1000,
    metadata={"task": "title_generation", "chat_id": "c1", "task_body": {"messages": []}},
)
OPEN_WEBUI_TAGS = open_webui_task(
    "Generate 1-3 broad tags categorizing the main themes of the chat history.",
    "- Use only General for a short chat.",
    output='JSON format: { "tags": ["tag1", "tag2", "tag3"] }',
)
OPEN_WEBUI_FOLLOW_UPS = open_webui_task(
    "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next.",
    "- Ask as the user would.",
    output='JSON format: { "follow_ups": ["Question 1?", "Question 2?"] }',
)
OPEN_WEBUI_QUERIES = open_webui_task(
    "Analyze the chat history to determine the necessity of generating search queries, in the given language.",
    '- Answer as { "queries": ["query1", "query2"] }.',
    output='Strictly return in JSON format: { "queries": ["query1", "query2"] }',
)
OPEN_WEBUI_IMAGE = open_webui_task(
    "Generate a detailed prompt for am image generation task based on the given language and context.",
    "- Describe colours and shapes.",
    output='Strictly return in JSON format: { "prompt": "Your detailed description here." }',
)
OPEN_WEBUI_AUTOCOMPLETE: Body = {
    "model": "default",
    "stream": False,
    "messages": [
        {
            "role": "user",
            "content": "### Task:\nYou are an autocompletion system. Continue the text in `<text>` by its `<type>`.\n"
            'Respond as { "text": "<your_completion>" }.\n### Context:\n<chat_history>\n'
            f"{HISTORY}\n</chat_history>\n<type>search query</type>\n<text>zebra</text>\n#### Output:",
        }
    ],
}
OPEN_WEBUI_EMOJI: Body = {
    "model": "default",
    "stream": False,
    "max_tokens": 4,
    "messages": [
        {
            "role": "user",
            "content": "Your task is to reflect the speaker's likely facial expression through a fitting emoji. "
            'Only return the emoji.\n\nMessage: """Hello there"""',
        }
    ],
}
OPEN_WEBUI_TOOLS: Body = {
    "model": "default",
    "stream": False,
    "metadata": {"task": "function_calling"},
    "messages": [
        {
            "role": "system",
            "content": 'Available Tools: [{"name": "weather", "description": "The weather of a place"}]\n\nChoose the '
            'tools for the query. Without a match return:\n{\n  "tool_calls": []\n}',
        },
        {"role": "user", "content": f'Query: History:\nUSER: """{QUESTION}"""\nQuery: {QUESTION}'},
    ],
}


def librechat_chat(**changed: Any) -> Body:
    """A turn in LibreChat: content in parts, an id for the user, tools of an agent, no sampling unless set."""
    return {
        "model": "default",
        "user": "65f1c0ffee",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "developer", "content": "You are helpful."},
            {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
            {"role": "assistant", "content": "", "tool_calls": [], "refusal": None},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"}},
                    {"type": "text", "text": QUESTION},
                ],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        **changed,
    }


TURNS = f"User: {QUESTION}\nAI: {ANSWER}"
LIBRECHAT_TITLE: Body = {
    "model": "default",
    "temperature": 0.2,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "max_tokens": 16,
    "messages": [
        {
            "role": "user",
            "content": "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. "
            f"Only return the title itself.\n\nConversation:\n{TURNS}",
        }
    ],
}
_SCHEMA = {
    "type": "object",
    "properties": {"language": {"type": "string"}, "title": {"type": "string"}},
    "required": ["language", "title"],
}
_STRUCTURED = [
    {
        "role": "user",
        "content": "Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A concise "
        f"title in the detected language (5 words or less, no punctuation or quotation)\n\n{TURNS}",
    }
]
LIBRECHAT_STRUCTURED_TITLE: Body = {
    "model": "default",
    "messages": _STRUCTURED,
    "response_format": {"type": "json_schema", "json_schema": {"name": "extract", "schema": _SCHEMA, "strict": True}},
}
LIBRECHAT_FUNCTION_TITLE: Body = {
    "model": "default",
    "messages": _STRUCTURED,
    "tools": [{"type": "function", "function": {"name": "extract", "parameters": _SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "extract"}},
}
LIBRECHAT_ASSISTANT_TITLE = (
    "Please generate a concise title (max 40 characters) for a conversation that starts with:\n"
    f"User: {QUESTION}\nAssistant: {ANSWER}\n\nTitle:"
)
NULLS: Body = {
    "stream": None,
    "stream_options": None,
    "temperature": None,
    "top_p": None,
    "max_tokens": None,
    "max_completion_tokens": None,
    "seed": None,
    "stop": None,
    "tools": None,
    "tool_choice": None,
    "response_format": None,
    "metadata": None,
    "user": None,
    "logit_bias": None,
    "functions": None,
    "n": None,
}
