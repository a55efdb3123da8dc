"""What retrieval finds for a question in a small corpus of mixed paragraphs, some of them left out.

The index, the encoder and the reranker are those that serve, so the passages come with the scores and ranks of service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from app.index.generations import IndexStore, PreparedVersion, Snapshot
from app.protocols import Encoder
from app.rerank.features import RRF_K
from app.rerank.ranker import Ranker
from app.types import Hit, Passage, Prompt, StoredChunk

DEPTH = 50
PASSAGES = 6
"""As in service: candidates of each retriever, and passages of a prompt."""


class MixedCorpus:
    """Prompts over an index of whole paragraphs.

    Args:
        texts: of the index, by the ordinal of its rows.
        snapshot: of the index.
        encoder: of texts and questions.
        ranker: of the candidates.
    """

    def __init__(self, texts: Sequence[str], snapshot: Snapshot, encoder: Encoder, ranker: Ranker) -> None:
        self._texts = texts
        self._snapshot = snapshot
        self._encoder = encoder
        self._ranker = ranker

    def prompt(self, question: str, passages: int = PASSAGES) -> Prompt:
        """Return the best paragraphs for the question with every stage's score and rank."""
        vector = self._encoder.encode_queries([question])[0]
        rows = {
            "cosine": self._snapshot.search_dense(vector[None], DEPTH)[0],
            "bm25": self._snapshot.search_lexical([question], DEPTH)[0],
        }
        ranks = {name: {row.slot: rank for rank, row in enumerate(found, start=1)} for name, found in rows.items()}
        bm25 = {row.slot: row.score for row in rows["bm25"]}
        rrf = {
            slot: sum(1 / (RRF_K + place[slot]) for place in ranks.values() if slot in place)
            for slot in ranks["cosine"] | ranks["bm25"]
        }
        slots = sorted(rrf, key=lambda slot: (-rrf[slot], slot))[:DEPTH]
        if not slots:
            return Prompt(question, (), "", 0)
        cosines = (self._snapshot.vectors(slots) @ vector).tolist()
        hits = [
            Hit(
                StoredChunk.of_text(self._texts[ordinal], f"paragraph-{ordinal}", collection="mixed"),
                {"cosine": cosine, "rrf": rrf[slot], **({"bm25": bm25[slot]} if slot in bm25 else {})},
                {name: place[slot] for name, place in ranks.items() if slot in place},
            )
            for slot, (_, ordinal), cosine in zip(slots, self._snapshot.locate(slots), cosines, strict=True)
        ]
        best = self._ranker.rerank(question, hits, self._snapshot)[:passages]
        found = tuple(
            Passage(number, hit, hit.chunk.text, 0, len(hit.chunk.text)) for number, hit in enumerate(best, 1)
        )
        return Prompt(question, found, "\n\n".join(passage.text for passage in found), 0)


@contextmanager
def mixed_corpus(texts: Sequence[str], encoder: Encoder, ranker: Ranker) -> Iterator[MixedCorpus]:
    """The corpus of `texts`, each a paragraph and a row of the index; its files go when the context ends."""
    with TemporaryDirectory(prefix="attest-corpus-") as folder:
        store = IndexStore(
            Path(folder), encoder_name=encoder.name, embed_dim=encoder.embed_dim, exact_below=len(texts) + 1
        )
        index = store.collection(1)
        index.publish(
            [PreparedVersion(1, "mixed", list(texts), encoder.encode_passages(texts))], valid_from=datetime.now(UTC)
        )
        yield MixedCorpus(texts, index.snapshot(), encoder, ranker)


def left_out(text: str, share: float) -> bool:
    """Return whether a paragraph is left out of the corpus: the same `share` of all texts on every machine."""
    digest = hashlib.sha256(b"left out:" + text.encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32
