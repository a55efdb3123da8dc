"""Query encoder and reader trained together through p(y|x) = Σ_z p(z|x) p(y|x, z), the document vectors fixed.

Nobody says which document is the right one: a document is worth what it helps the reader to say the answer. The
gradient moves the question's vector towards those that do.

Source: Lewis et al. 2020, section 2.4 (the document encoder and its index stay as they are), equation for RAG-Sequence.
Departures: cosine with a temperature in place of the inner product, and a reader that can only copy: a document that
does not hold the answer gives it the probability e^`FLOOR`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.training.reader_loss import answer_logprobs
from app.training.reading_examples import ReadingExample, occurrences
from app.training.reading_sets import ReadingQuestion
from app.transformer.encoder import BertEncoder
from app.transformer.pointer import PointerReader
from app.transformer.pointer_rows import SpecialIds, build_row, room_for_passage
from app.transformer.tokenizers import TextTokenizer, TokenizedText

FLOOR = -20.0
_MAX_QUESTION_TOKENS = 64
_MAX_ANSWER_TOKENS = 48


@dataclass(frozen=True, slots=True)
class MarginalOptions:
    """`documents` is the k of the marginal; `temperature` that of the cosines' softmax; rates are peaks."""

    documents: int = 5
    temperature: float = 0.07
    query_lr: float = 2e-5
    reader_lr: float = 2e-5
    batch_questions: int = 16
    max_tokens: int = 384
    weight_decay: float = 0.01


class QueryEncoder(nn.Module):
    """Returns unit vectors `[b, d]`: the mean of the encoder's states over each text's tokens, `[CLS]` and `[SEP]` too.

    Source: Reimers & Gurevych 2019, section 3, mean pooling.
    """

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """Encode `token_ids` int64 `[b, s]`; `mask` bool `[b, s]`, True = a real token."""
        weights = mask.unsqueeze(2).float()
        pooled = (self.encoder(token_ids, mask).float() * weights).sum(1) / weights.sum(1)
        return functional.normalize(pooled, dim=1)


class RetrieverAndReader(nn.Module):
    """What is trained: both models under one roof, so that a checkpoint holds both."""

    def __init__(self, query: QueryEncoder, reader: PointerReader) -> None:
        super().__init__()
        self.query = query
        self.reader = reader


class MarginalObjective:
    """Implements `Objective` over questions whose answers stand somewhere in the documents.

    Args:
        model: query encoder and reader; their embeddings are frozen.
        questions: answerable ones to learn from.
        dev: answerable ones that are scored; their contexts are among the documents.
        documents: texts, each once.
        vectors: float32 `[len(documents), d]`, unit length, made by the document encoder; they never change.
        tokenizer: of both models.
        special: `[CLS]`, `[SEP]`, `[PAD]`.
        options: sizes and rates; a `reader_lr` of 0 leaves the reader as it is.
    """

    def __init__(
        self,
        model: RetrieverAndReader,
        questions: Sequence[ReadingQuestion],
        dev: Sequence[ReadingQuestion],
        documents: Sequence[str],
        vectors: Tensor,
        tokenizer: TextTokenizer,
        special: SpecialIds,
        options: MarginalOptions,
    ) -> None:
        self.model = model
        self._device = next(model.parameters()).device
        self._questions, self._dev = list(questions), list(dev)
        self._documents = list(documents)
        self._place = {text: place for place, text in enumerate(self._documents)}
        self._vectors = vectors.to(self._device)
        self._tokenizer, self._special, self._options = tokenizer, special, options
        self._tokens: dict[str, TokenizedText] = {}
        for embeddings in (model.query.encoder.embeddings, model.reader.encoder.embeddings):
            embeddings.requires_grad_(False)
        if options.reader_lr == 0:
            model.reader.requires_grad_(False)
        groups = []
        for part, peak in ((model.query, options.query_lr), (model.reader, options.reader_lr)):
            for decayed in (True, False):
                members = [p for p in part.parameters() if p.requires_grad and (p.dim() > 1) == decayed]
                if members:
                    decay = options.weight_decay if decayed else 0.0
                    groups.append({"params": members, "peak": peak, "lr": peak, "weight_decay": decay})
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6)

    def one_pass(self, seed: str) -> Iterator[list[ReadingQuestion]]:
        drawn = random.Random(seed).sample(self._questions, len(self._questions))
        for start in range(0, len(drawn), self._options.batch_questions):
            yield drawn[start : start + self._options.batch_questions]

    def loss(self, batch: Sequence[ReadingQuestion]) -> Mapping[str, Tensor]:
        """−log p(y|x) in nats, the mean over the batch, and how much of p(z|x) lies on documents with the answer."""
        cosines, places = self._search(batch)
        posterior = torch.log_softmax(cosines / self._options.temperature, dim=1)
        given = torch.full_like(posterior, FLOOR)
        pairs = [
            (row, column, example)
            for row, question in enumerate(batch)
            for column, place in enumerate(places[row].tolist())
            if (example := self.example(question, self._documents[place])) is not None
        ]
        holds = torch.zeros_like(posterior)
        if pairs:
            rows, columns = [row for row, _, _ in pairs], [column for _, column, _ in pairs]
            examples = [example for _, _, example in pairs]
            told = answer_logprobs(self.model.reader, examples, pad_id=self._special.pad, device=self._device)
            given = given.index_put((torch.tensor(rows), torch.tensor(columns)), told.float().clamp(min=FLOOR))
            holds[rows, columns] = 1.0
        loss = -torch.logsumexp(posterior + given, dim=1).mean()
        return {"loss": loss, "mass_on_answer": (posterior.detach().exp() * holds).sum(1).mean()}

    def tokens(self, batch: Sequence[ReadingQuestion]) -> int:
        return sum(len(self._tokenized(q.question).ids) for q in batch)

    def at(self, share: float) -> None:
        del share

    @torch.no_grad()
    def scores(self) -> Mapping[str, float]:
        """Recall@1, @5 and MRR@10 of the development questions' own contexts, and the marginal loss on them."""
        if not self._dev:
            return {}
        ranks: list[int] = []
        losses: list[float] = []
        size = self._options.batch_questions
        for start in range(0, len(self._dev), size):
            batch = self._dev[start : start + size]
            cosines = self.encode([q.question for q in batch]) @ self._vectors.T
            for question, row in zip(batch, cosines, strict=True):
                ranks.append(1 + int((row > row[self._place[question.context]]).sum()))
            losses += [float(self.loss(batch)["loss"])] * len(batch)
        return {
            "recall@1": sum(rank <= 1 for rank in ranks) / len(ranks),
            "recall@5": sum(rank <= 5 for rank in ranks) / len(ranks),
            "mrr@10": sum(1 / rank for rank in ranks if rank <= 10) / len(ranks),
            "marginal_loss": sum(losses) / len(losses),
        }

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return the unit vectors `[len(texts), d]` of questions."""
        ids = [[self._special.cls, *self._tokenized(text).ids[:510], self._special.sep] for text in texts]
        longest = max(map(len, ids))
        padded = torch.tensor([[*row, *[self._special.pad] * (longest - len(row))] for row in ids])
        mask = torch.tensor([[column < len(row) for column in range(longest)] for row in ids])
        vectors: Tensor = self.model.query(padded.to(self._device), mask.to(self._device))
        return vectors

    def example(self, question: ReadingQuestion, document: str) -> ReadingExample | None:
        """Return the reader's row of `question` over `document`; None where that does not hold an answer in reach."""
        if not any(answer in document for answer in question.answers):
            return None
        question_ids = self._tokenized(question.question).ids[:_MAX_QUESTION_TOKENS]
        tokens = self._tokenized(document)
        found = [span for answer in question.answers for span in occurrences(document, tokens, answer)]
        spans = [span for span in found if len(span) <= _MAX_ANSWER_TOKENS]
        if not spans:
            return None
        room = room_for_passage(question_ids, [], self._options.max_tokens)
        first = max(0, min(spans[0][0] - room // 2, len(tokens.ids) - room))
        window = first, min(first + room, len(tokens.ids))
        row = build_row(self._special, question_ids, [], tokens.ids, window)
        shift = row.copy_start - first
        inside = dict.fromkeys(span for span in spans if window[0] <= span[0] and span[-1] < window[1])
        candidates = tuple(tuple((0, token + shift) for token in span) for span in inside)
        return ReadingExample((row,), candidates) if candidates else None

    def _search(self, batch: Sequence[ReadingQuestion]) -> tuple[Tensor, Tensor]:
        """Cosines `[b, k]`, with gradients to the query encoder, and places `[b, k]` of the nearest documents."""
        questions = self.encode([q.question for q in batch])
        with torch.autocast(self._device.type, enabled=False):  # cosines differ by less than bfloat16 can tell
            with torch.no_grad():
                nearest = (questions @ self._vectors.T).topk(min(self._options.documents, len(self._documents)), dim=1)
            return (questions.unsqueeze(1) * self._vectors[nearest.indices]).sum(dim=2), nearest.indices

    def _tokenized(self, text: str) -> TokenizedText:
        if text not in self._tokens:
            self._tokens[text] = self._tokenizer.encode([text])[0]
        return self._tokens[text]
