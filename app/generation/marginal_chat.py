"""A local language model's answers in the RAG modes: it sees one passage at a time, and never two together."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from app.errors import Cancelled
from app.generation.chat import chat_messages
from app.generation.cited_text import MARKER, CitedText
from app.generation.marginalize import DocumentModel, Marginals, Search, Written, log_sum, posterior
from app.generation.posterior import log_prior
from app.generation.rag_sequence import rag_sequence
from app.generation.rag_token import rag_token
from app.generation.refusals import is_refusal
from app.generation.support import SUPPORTED
from app.types import Evidence, Generated, GenerationOptions, Message, Prompt

_LOST = 3.0
_MARKED = re.compile(rf"\s*{MARKER.pattern}", MARKER.flags)
_THOUGHT = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShownDocuments:
    """Conversations as documents; how many tokens they have together, and how many an answer may have."""

    model: DocumentModel
    prompt_tokens: int
    max_tokens: int


@runtime_checkable
class DocumentChat(Protocol):
    """A chat model that can say how likely each next token is, for several conversations at once."""

    @property
    def name(self) -> str: ...

    def documents(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, num_beams: int, check: Callable[[], None]
    ) -> ShownDocuments:
        """Return the conversations as documents, one each."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Return what the tokens spell."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is shown alike: ln p(y | x), p(z | x, y), and how likely its tokens are under the likeliest passage."""

    text: str
    logprob: float
    posterior: tuple[float, ...]
    mean_probability: float
    written: Written


def answer_by_marginals(
    model: DocumentChat, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool]
) -> Generated:
    """Return the most probable answer in `options.mode`, its claims verified like every language model's.

    Every passage is shown alone, as passage 1, with the same instruction. Answers that only refuse are set aside: most
    passages hold no answer, and what they agree on is to say so; together they are the probability of no answer. The
    citations point into the passage of the highest posterior that carries the answer, whether the model put a marker
    or not. `num_beams` hypotheses are followed (RAG-Sequence: of each passage); `temperature > 0` draws among them.

    Raises:
        Cancelled: `cancelled()` was true between two steps.
        TooLarge: the passages with their hypotheses do not fit the memory or the model's context.
    """

    def check() -> None:
        if cancelled():
            raise Cancelled("the caller cancelled the answer while it was being written")

    alone = [_alone(prompt, place) for place in range(len(prompt.passages))]
    shown = model.documents(
        [chat_messages(each) for each in alone], max_tokens=options.max_tokens, num_beams=options.num_beams, check=check
    )
    prior = log_prior(prompt.passages)
    search = Search(options.num_beams, shown.max_tokens, lost=_LOST, check=check)
    decode = rag_token if options.mode == "rag_token" else rag_sequence
    found = decode(shown.model, prior, search)
    answers = _pooled(found, prior, model.text)
    given = [answer for answer in answers if not is_refusal(answer.text)]
    refusals = [answer.logprob for answer in answers if is_refusal(answer.text)]
    empty = [p + each for p, each in zip(prior, found.empty_logprobs, strict=True)]
    chosen = _draw(given or answers, options)
    if chosen is None:
        return Generated("", (), False, Evidence(support=0.0), shown.prompt_tokens, 0, model.name, ())
    cited, place = _cited(alone, chosen)
    answered = bool(cited.text) and bool(given)
    carried = cited.support
    if carried:
        carried = SUPPORTED + (carried - SUPPORTED) * chosen.mean_probability
    null_logprob = log_sum([*refusals, *empty])
    return Generated(
        text=cited.text,
        spans=tuple(replace(span, passage=place) for span in cited.spans) if answered else (),
        answered=answered,
        evidence=Evidence(
            answer_logprob=chosen.logprob,
            null_logprob=null_logprob,
            margin=chosen.logprob - null_logprob,
            passage_mass=chosen.posterior,
            support=carried,
            document_posterior=chosen.posterior,
        ),
        prompt_tokens=shown.prompt_tokens,
        completion_tokens=len(chosen.written.tokens),
        model=model.name,
        claims=tuple(cited.claims) if answered else (),
        warnings=() if chosen.written.ended or not answered else ("the answer reached max_tokens and stops there",),
        detail={"claims_verified": len(cited.claims), "mean_token_probability": chosen.mean_probability},
    )


def _alone(prompt: Prompt, place: int) -> Prompt:
    """The prompt with one passage only, numbered 1, so that all passages make the same answers possible."""
    text = prompt.text
    for passage in prompt.passages:
        # Runs of three angle brackets inside documents were softened, so that these lines are the template's own.
        fence = re.compile(
            rf"^<<<passage {passage.number}(?P<title>(?:: .*)?)>>>\n(?P<body>.*?)\n<<<end {passage.number}>>>\n*",
            re.MULTILINE | re.DOTALL,
        )
        if passage is prompt.passages[place]:
            text = fence.sub(lambda m: f"<<<passage 1{m['title']}>>>\n{m['body']}\n<<<end 1>>>\n\n", text, count=1)
        else:
            text = fence.sub("", text, count=1)
    return replace(prompt, passages=(replace(prompt.passages[place], number=1),), text=text)


def _pooled(found: Marginals, prior: Sequence[float], text_of: Callable[[Sequence[int]], str]) -> list[_Answer]:
    """The answers best first; token sequences that spell the same text are one, markers and thoughts aside."""
    by_text: dict[str, list[_Answer]] = {}
    for hypothesis in found.hypotheses:
        text = _THOUGHT.sub("", text_of(hypothesis.written.tokens)).strip()
        if not text:
            continue
        shares = posterior(prior, hypothesis.document_logprobs)
        best = max(range(len(prior)), key=lambda z: (shares[z], -z))
        tokens = len(hypothesis.written.tokens) + hypothesis.written.ended
        mean = math.exp(min(0.0, hypothesis.document_logprobs[best] / tokens))
        key = " ".join(_MARKED.sub("", text).casefold().split())
        by_text.setdefault(key, []).append(_Answer(text, hypothesis.logprob, shares, mean, hypothesis.written))
    answers = []
    for alike in by_text.values():
        whole = log_sum([answer.logprob for answer in alike])
        shares = tuple(
            math.fsum(math.exp(answer.logprob - whole) * answer.posterior[z] for answer in alike)
            for z in range(len(prior))
        )
        answers.append(replace(max(alike, key=lambda answer: answer.logprob), logprob=whole, posterior=shares))
    return sorted(answers, key=lambda answer: (-answer.logprob, answer.text))


def _draw(answers: Sequence[_Answer], options: GenerationOptions) -> _Answer | None:
    if not answers or options.temperature <= 0:
        return answers[0] if answers else None
    weights = [math.exp((answer.logprob - answers[0].logprob) / options.temperature) for answer in answers]
    return random.Random(options.seed).choices(answers, weights)[0]


def _cited(alone: Sequence[Prompt], answer: _Answer) -> tuple[CitedText, int]:
    """The text with its claims verified in the likeliest passage that carries one, and that passage's place."""
    text = answer.text if MARKER.search(answer.text) else f"{answer.text} [1]"
    order = sorted(range(len(alone)), key=lambda z: (-answer.posterior[z], z))
    tried: list[tuple[CitedText, int]] = []
    for place in order:
        cited = CitedText(alone[place])
        cited.feed(text)
        cited.finish()
        if cited.verified:
            return cited, place
        tried.append((cited, place))
    return tried[0]
