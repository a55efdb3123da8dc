"""The prompts that front-ends send by themselves, in the shapes that Open WebUI and LibreChat give them."""

import json

import pytest

from app.api.openai.tasks import answer_task

CHAT = "<chat_history>\nUSER: What is the notice period in the lease?\nASSISTANT: 30 days. [1]\n</chat_history>"


def task(instruction, output):
    return f"### Task:\n{instruction}\n### Guidelines:\n- Be concise.\n### Output:\n{output}\n### Chat History:\n{CHAT}"


def test_a_title_is_the_first_question_in_few_words():
    prompt = task(
        "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
        'JSON format: { "title": "your concise title here" }',
    )
    assert json.loads(answer_task(prompt, [])) == {"title": "What is the notice period in"}


def test_tags_are_words_of_the_conversation():
    prompt = task(
        "Generate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific "
        "subtopic tags.",
        'JSON format: { "tags": ["tag1", "tag2", "tag3"] }',
    )
    assert json.loads(answer_task(prompt, [])) == {"tags": ["Notice", "Period", "Lease"]}


def test_follow_ups_promise_nothing_that_the_documents_may_not_hold():
    prompt = task(
        "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next.",
        'JSON format: { "follow_ups": ["Question 1?", "Question 2?"] }',
    )
    assert json.loads(answer_task(prompt, [])) == {"follow_ups": []}


def test_a_search_query_is_the_last_question():
    prompt = task(
        "Analyze the chat history to determine the necessity of generating search queries.",
        'JSON format: { "queries": ["query1", "query2"] }',
    )
    assert json.loads(answer_task(prompt, [])) == {"queries": ["What is the notice period in the lease?"]}


def test_a_bare_title_prompt_over_a_quoted_conversation():
    prompt = (
        "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the "
        "title itself.\n\nConversation:\nUser: 租约的通知期是多久？\nAI: 三十天。"
    )
    assert answer_task(prompt, []) == "租约的通知期是多久"


@pytest.mark.parametrize(
    "question",
    [
        "What is the title of the second chapter?",
        "Generate a title for the report, please",
        "Which tags does the manual list?",
        "Summarise the conversation between Anna and Ben in chapter 3.",
        "What follow-up questions does the survey ask?",
        "Which JSON format does the export use?",
        "Write a title for this conversation",
    ],
)
def test_what_a_person_asks_is_no_task(question):
    assert answer_task(question, ["earlier"]) is None
