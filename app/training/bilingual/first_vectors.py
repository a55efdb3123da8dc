"""Where the vectors of new words start: where words used alike, and their translations in parallel text, lie.

Two sources, both from the training data alone: co-occurrence in the texts, whose Latin words and marks have known
vectors and so anchor a linear map into the English table; and the parallel sentences of XQuAD's training articles.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.training.bilingual.vocabulary import NEW_MARKS, RARE_IDS, BilingualVocabulary
from app.transformer.tokenizers import TextTokenizer

FIRST_WORD_ID = 1996  # BERT's first whole word: what stands before are unused rows and single signs
_WINDOW = 3
_CONTEXTS = 6000
_NOISE = 0.15
_RIDGE = 3.0


@dataclass(frozen=True, slots=True)
class ParallelText:
    """`english[i]` and `chinese[i]` say the same."""

    english: Sequence[str]
    chinese: Sequence[str]


def first_vectors(
    vocabulary: BilingualVocabulary,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    parallel: ParallelText,
    table: Tensor,
    *,
    dims: int = 150,
    seed: int = 0,
) -> Tensor:
    """Return the rows `[len(words) + RARE_IDS, d]` that follow `table` `[first_id, d]`.

    Args:
        vocabulary: whose words are wanted.
        tokenizer: that spells with it.
        texts: Chinese ones, Latin words among them.
        parallel: sentences in both languages.
        table: the English word vectors.
        dims: of the co-occurrence vectors.
        seed: of the noise that tells words apart.

    Source: a linear map between embedding spaces, Mikolov, Le & Sutskever 2013; in the spirit of WECHSEL (Minixhofer et
    al. 2022). Word translation: model 1 of Brown et al. 1993, both ways.
    """
    first = vocabulary.first_id
    mean = table[FIRST_WORD_ID:].mean(0)
    spread = (table[FIRST_WORD_ID:] - mean).norm(dim=1).median()
    used = cooccurrence_vectors([t.ids for t in tokenizer.encode(texts)], vocabulary.size, dims, seed)
    translated = translations(tokenizer, parallel, table.shape[0])
    seeds, targets, weights = [], [], []
    for new, english in translated.items():
        if used[new].norm() > 0:
            seeds.append(new)
            targets.append(sum((p * (table[e] - mean) for e, p in english.items()), torch.zeros_like(mean)))
            weights.append(1.0)
    for known in range(FIRST_WORD_ID, first):
        if used[known].norm() > 0:
            seeds.append(known)
            targets.append(table[known] - mean)
            weights.append(1.0)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(vocabulary.words) + RARE_IDS, table.shape[1], generator=generator)
    rows: Tensor = mean + noise / noise.norm(dim=1, keepdim=True) * spread * _NOISE
    mapped = torch.zeros(vocabulary.size, table.shape[1])
    if seeds:
        wanted = torch.nn.functional.normalize(torch.stack(targets), dim=1)
        mapped = used @ ridge(used[seeds], wanted, _RIDGE)
    for place, word in enumerate(vocabulary.words):
        if word in NEW_MARKS:
            rows[place] += table[tokenizer.token_id(NEW_MARKS[word])] - mean
            continue
        moved = torch.nn.functional.normalize(mapped[first + place], dim=0)
        if first + place in translated:
            english = translated[first + place]
            said = sum((p * (table[e] - mean) for e, p in english.items()), torch.zeros_like(mean))
            # A lexicon from a thousand sentences errs: how far it is believed goes with how sure it is.
            moved = moved + 2 * sum(english.values()) * torch.nn.functional.normalize(said, dim=0)
        rows[place] += torch.nn.functional.normalize(moved, dim=0) * spread
    return rows


def cooccurrence_vectors(rows: Sequence[Sequence[int]], size: int, dims: int, seed: int = 0) -> Tensor:
    """Return unit vectors `[size, dims]` of tokens used alike, zero for those that never occur.

    Positive pointwise mutual information with the most frequent tokens within three places, the singular vectors of
    which are weighted by the square root of their singular values.

    Source: Levy, Goldberg & Dagan 2015, sections 2 and 3.
    """
    flat = np.concatenate([np.array([*row, *[-1] * _WINDOW], dtype=np.int64) for row in rows if row])
    real = flat[flat >= 0]
    frequency = np.bincount(real, minlength=size)
    contexts = np.argsort(-frequency, kind="stable")[:_CONTEXTS]
    contexts = contexts[frequency[contexts] > 0]
    column = np.full(size, -1, dtype=np.int64)
    column[contexts] = np.arange(len(contexts))
    pairs = []
    for shift in range(1, _WINDOW + 1):
        left, right = flat[:-shift], flat[shift:]
        both = (left >= 0) & (right >= 0)
        for centre, beside in ((left[both], right[both]), (right[both], left[both])):
            kept = column[beside] >= 0
            pairs.append(centre[kept] * len(contexts) + column[beside[kept]])
    keys, counts = np.unique(np.concatenate(pairs), return_counts=True)
    centre, beside = np.divmod(keys, len(contexts))
    total = counts.sum()
    by_centre = np.bincount(centre, counts, minlength=size)
    by_context = np.bincount(beside, counts, minlength=len(contexts)) ** 0.75
    expected = by_centre[centre] * by_context[beside] / by_context.sum()
    information = np.log(counts / expected)
    kept = (information > 0) & (total > 0)
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([centre[kept], beside[kept]])),
        torch.from_numpy(information[kept].astype(np.float32)),
        (size, len(contexts)),
        check_invariants=False,
    ).coalesce()
    torch.manual_seed(seed)
    width = min(dims, len(contexts), size)
    left_vectors, values, _ = torch.svd_lowrank(matrix, q=width, niter=3)
    vectors = left_vectors * values.sqrt()
    vectors[torch.from_numpy(frequency) == 0] = 0
    unit: Tensor = torch.nn.functional.normalize(vectors, dim=1)
    return unit


def ridge(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """Return `W` `[k, d]` that minimises `|xW − y|² + penalty · |W|²` for `x` `[n, k]`, `y` `[n, d]`."""
    solved: Tensor = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1]), x.T @ y)
    return solved


def translations(
    tokenizer: TextTokenizer, parallel: ParallelText, first_id: int, *, rounds: int = 6, least: float = 0.15
) -> dict[int, dict[int, float]]:
    """Return new word id → English word id → probability, where both directions agree; their sum is at most 1.

    Args:
        tokenizer: of both languages.
        parallel: sentences.
        first_id: ids from here on are Chinese.
        rounds: of expectation maximisation.
        least: the smallest product of both directions' probabilities (as its square root) that is kept.
    """
    english = [[i for i in t.ids if i >= FIRST_WORD_ID and i < first_id] for t in tokenizer.encode(parallel.english)]
    chinese = [[i for i in t.ids if i >= first_id] for t in tokenizer.encode(parallel.chinese)]
    forward = model_one(chinese, english, rounds)
    backward = model_one(english, chinese, rounds)
    seen = Counter(i for row in chinese for i in set(row))
    found: dict[int, dict[int, float]] = {}
    for new, options in forward.items():
        agreed = {e: (p * backward.get(e, {}).get(new, 0.0)) ** 0.5 for e, p in options.items()}
        best = dict(sorted(((e, p) for e, p in agreed.items() if p >= least), key=lambda pair: -pair[1])[:3])
        if best and seen[new] > 1:
            scale = 1 / max(1.0, sum(best.values()))
            found[new] = {e: p * scale for e, p in best.items()}
    return found


def model_one(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], rounds: int
) -> Mapping[int, Mapping[int, float]]:
    """Return `t(target | source)`, learned from sentence pairs by expectation maximisation.

    Source: Brown et al. 1993, section 4.1 (without the empty word).
    """
    probability: dict[int, dict[int, float]] = defaultdict(dict)
    for source, target in zip(sources, targets, strict=True):
        for s in source:
            for t in target:
                probability[s][t] = 1.0
    for _ in range(rounds):
        expected: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        for source, target in zip(sources, targets, strict=True):
            for t in target:
                total = sum(probability[s][t] for s in source)
                if total > 0:
                    for s in source:
                        expected[s][t] += probability[s][t] / total
        for s, row in expected.items():
            whole = sum(row.values())
            probability[s] = {t: value / whole for t, value in row.items()}
    return probability
