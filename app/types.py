"""Frozen values that flow between the stages. Offsets are Unicode code points, half-open `[char_start, char_end)`.

Nothing here knows of HTTP, SQL, FAISS or torch; everything may import this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from app.routing_types import AutoFilter, Route, RouteTaken, StructuredResult

BlockKind = Literal["heading", "paragraph", "list_item", "table_row", "code", "caption"]
DocumentStatus = Literal["queued", "loading", "chunking", "embedding", "indexing", "ready", "failed", "deleted"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ScoreName = Literal["bm25", "cosine", "rrf", "rerank", "late_interaction"]
Style = Literal["auto", "short", "sentence", "paragraph", "list"]
Metadata = Mapping[str, Any]


# --- ingestion: file → text → chunks ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """One structural unit of a document's text: `text[char_start:char_end]`; blocks are ordered and do not overlap.

    `level` is 1..6 for headings and 0 otherwise.
    """

    kind: BlockKind
    char_start: int
    char_end: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Page `number` (1-based) covers `text[char_start:char_end]`."""

    number: int
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class LoadedDocument:
    """What a loader returns: the extracted text with its structure. `pages` is empty for formats without pages."""

    text: str
    media_type: str
    title: str | None = None
    blocks: tuple[Block, ...] = ()
    pages: tuple[PageSpan, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A retrieved unit before it is stored: `document_text[char_start:char_end] == text`, always.

    `heading_path` runs from the outermost heading inwards; `tokens` is counted with the embedder's tokenizer.
    """

    ordinal: int
    text: str
    char_start: int
    char_end: int
    page: int | None = None
    heading_path: tuple[str, ...] = ()
    tokens: int = 0

    def embedding_text(self, title: str | None) -> str:
        """The text that the embedder and BM25 see: title and headings in front of the chunk's own text."""
        heads = [part for part in (title, *self.heading_path) if part]
        unique = list(dict.fromkeys(heads))
        return "\n".join([" › ".join(unique), self.text]) if unique else self.text


# --- the index: what search returns ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the catalog holds it, with what a hit needs of its document version.

    `chunk_id` is `"{version_id}-{ordinal}"`.
    """

    chunk_id: str
    version_id: int
    ordinal: int
    document_id: str
    version: int
    collection: str
    title: str
    source_url: str | None
    media_type: str
    text: str
    char_start: int
    char_end: int
    page: int | None
    heading_path: tuple[str, ...]
    metadata: Metadata
    tokens: int = 0

    @classmethod
    def of_text(
        cls, text: str, document_id: str, *, ordinal: int = 0, collection: str = "", title: str = ""
    ) -> StoredChunk:
        """A text that no index holds, as a document of one chunk: a caller's own, or one of a test collection."""
        return cls(
            chunk_id=document_id,
            version_id=0,
            ordinal=ordinal,
            document_id=document_id,
            version=1,
            collection=collection,
            title=title,
            source_url=None,
            media_type="text/plain",
            text=text,
            char_start=0,
            char_end=len(text),
            page=None,
            heading_path=(),
            metadata={},
        )


@dataclass(frozen=True, slots=True)
class ScoredSlot:
    """One row of a retriever's ranking inside one collection's generation: `slot` is the chunk's number there."""

    slot: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk with every stage's score and 1-based rank; a stage adds its own name and overwrites no other's."""

    chunk: StoredChunk
    scores: Mapping[str, float] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """One text that is asked of the indexes. `kind` is "original" or the translation that made it."""

    text: str
    kind: str = "original"
    parent: str | None = None


# --- asking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    dense: bool = True
    lexical: bool = True
    late_interaction: bool = False
    top_k: int = 50
    rrf_k: int = 60


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    model: str | None = None
    mode: Literal["fusion", "rag_sequence", "rag_token"] = "fusion"
    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    num_beams: int = 1
    seed: int | None = None
    json_schema: str | None = None  # JSON text of a schema that the output obeys where the model can be bound to one
    style: Style | None = None  # of the answer; None is as the settings say


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `passages` are texts that `content` holds verbatim, in its order: a model may know them already."""

    role: str
    content: str
    passages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AskRequest:
    """A question as the pipeline sees it. `abstain` is "auto", "never" or a threshold in [0, 1].

    `routes` are those that the caller may be sent to: one, where `route` names it. `collections` are asked where no
    route is sure. `auto_filters` None is as the settings say. `guidance` stands beside a model's instruction.
    """

    question: str
    collections: tuple[str, ...] = ("default",)
    history: tuple[Message, ...] = ()
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    as_of: datetime | None = None
    translate: Literal["auto"] | tuple[str, ...] = "auto"
    route: str = "auto"
    routes: tuple[Route, ...] = ()
    auto_filters: bool | None = None
    guidance: str = ""
    retrieval: RetrievalOptions = RetrievalOptions()
    rerank: bool = True
    context_chunks: int = 6
    generation: GenerationOptions = GenerationOptions()
    abstain: Literal["auto", "never"] | float = "auto"


@dataclass(frozen=True, slots=True)
class Passage:
    """One numbered passage of the prompt; `number` is the `[n]` that an answer may cite, 1-based."""

    number: int
    hit: Hit
    text: str  # equals document_text[char_start:char_end]
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """The assembled context. `text` is exactly what a text generator receives; a reader takes question and passages.

    `text` begins with `instruction`, which a chat model gets as its system message, after it the turns of `history`.
    """

    question: str
    passages: tuple[Passage, ...]
    text: str
    tokens: int
    dropped: tuple[str, ...] = ()  # chunk ids left out, each followed by ": reason"
    instruction: str = ""
    history: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class PassageSpan:
    """`prompt.passages[passage].text[char_start:char_end]`; `passage` is 0-based, offsets are in passage text."""

    passage: int
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a generator can say for its own answer; log-probabilities are natural, `None` where it has no such thing."""

    answer_logprob: float | None = None
    null_logprob: float | None = None
    margin: float | None = None  # log p(answer) − log p(no answer)
    passage_mass: tuple[float, ...] = ()  # per passage, sums to at most 1
    runner_up: str | None = None
    runner_up_logprob: float | None = None
    question_coverage: float | None = None  # idf-weighted share of the question's terms in the passages
    span_over_null: float | None = None  # the answer's start and end logits over its passage's own no-answer score
    retrieval_agreement: float | None = None  # minus the mean log₂ rank, by each retriever, of the passage that answers
    kind_fit: float | None = None  # 1: the answer is of the kind that the question asks for; −1: of another; 0: unknown
    verification: float | None = None  # log-odds, by the verifier, that the answer's sentence answers with it
    named_cell: bool = False  # the answer is the table cell that the question names by row and column
    other_years: bool = False  # the answer's sentence names years, and nothing around it one that was asked about
    support: float | None = None  # of free text: how far its claims are carried by the passages, 0 when none is
    document_posterior: tuple[float, ...] = ()  # p(z | x, y) of each passage in the RAG modes, sums to 1; else empty
    style_probability: float | None = None  # calibrated, of an answer that a style made in the reader's place


@dataclass(frozen=True, slots=True)
class Claim:
    """`Generated.text[char_start:char_end]`, with a marker after it, is said in `Generated.spans[span]`."""

    char_start: int
    char_end: int
    span: int
    support: float  # in [0, 1]


@dataclass(frozen=True, slots=True)
class Generated:
    """A generator's output before citations are verified.

    A copying generator's `text` is the short answer, and `spans` says where each part of it was copied from. A free
    writer's `text` is the whole answer: `[k]` in it points at `spans[k - 1]`, the sentences that carry the claim, and
    `claims` names each marked stretch; it is None for copying ones.
    `answered` is false when the generator itself chose "no answer"; `text` may then still hold its best guess.
    """

    text: str
    spans: tuple[PassageSpan, ...]
    answered: bool
    evidence: Evidence
    prompt_tokens: int
    completion_tokens: int
    model: str
    claims: tuple[Claim, ...] | None = None
    warnings: tuple[str, ...] = ()  # for the caller: what was done instead of what was asked
    style: Style = "auto"  # that the answer has; "auto" where a language model chose for itself
    detail: Mapping[str, Any] = field(default_factory=dict)  # for the trace


@dataclass(frozen=True, slots=True)
class Citation:
    """`quote == document_text[char_start:char_end]` and `answer[answer_start:answer_end]` is the claim it supports."""

    index: int
    document_id: str
    version: int
    title: str
    source_url: str | None
    page: int | None
    char_start: int
    char_end: int
    quote: str
    answer_start: int
    answer_end: int
    score: float
    chunk_id: str


@dataclass(frozen=True, slots=True)
class StageTrace:
    """One stage of one request: wall time, whether it ran, and what it saw; `error` when it degraded."""

    stage: str
    ms: float
    detail: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    id: str
    question: str
    answer: str
    short_answer: str
    abstained: bool
    confidence: float
    threshold: float
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    model: str
    collection_generation: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    timings_ms: Mapping[str, float]
    trace: tuple[StageTrace, ...] = ()
    confidence_kind: Literal["calibrated", "support", "routing"] = "calibrated"
    route: RouteTaken | None = None  # where routes took part
    result: StructuredResult | None = None  # where a SQL source or the graph answered
    auto_filter: AutoFilter | None = None
    document_posterior: tuple[float, ...] = ()  # p(z | x, y) of each of `passages` in the RAG modes, else empty
    style: Style = "auto"  # that the answer has; "auto" where nothing chose one
    global_confidence: float = 0.0  # of the shipped calibration, where a collection's own may have corrected it
    confidence_calibration: Literal["global", "collection"] = "global"
    candidates: tuple[Hit, ...] = ()  # every chunk that was ranked for it, best first: what evaluations measure
