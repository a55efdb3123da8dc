"""The model card that lies beside a trained reranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Licences of the collections that the shipped model was trained on, as their repositories state them.
SOURCES: Mapping[str, str] = {
    "adi": "fabianobie/luppar, none stated (research use)",
    "bioasq": "KOU-201270/model-selection, questions CC BY 2.5, PubMed abstracts",
    "cisi": "fabianobie/luppar, none stated (research use)",
    "cmrc2018_zh": "ymcui/cmrc2018, CC BY-SA 4.0",
    "cranfield": "fabianobie/luppar, none stated (research use)",
    "medline": "fabianobie/luppar, none stated (research use)",
    "npl": "fabianobie/luppar, none stated (research use)",
    "nq_oracle": "nelson-liu/lost-in-the-middle, Natural Questions, CC BY-SA 3.0",
    "reqa_squad": "KOU-201270/model-selection, SQuAD, CC BY-SA 4.0",
}


def write_card(
    lists: Mapping[str, Sequence[Any]], encoder_name: str, table: str, importances: Sequence[tuple[str, float]]
) -> str:
    """Markdown: what the model is, what it learned from under which licences, and its held-out figures.

    Args:
        lists: judged lists by collection.
        encoder_name: of the dense candidates and the cosine features.
        table: held-out figures, Markdown.
        importances: features with their shares of the gain, falling.
    """
    data = "\n".join(
        f"| {name} | {len(judged)} | {SOURCES.get(name, 'your own')} |" for name, judged in sorted(lists.items())
    )
    leading = ", ".join(f"`{name}` {share:.0%}" for name, share in importances[:12])
    return f"""# Reranker

A LambdaMART model (LightGBM) that reorders the fused candidates of a hybrid search. It holds decision trees over
{len(importances)} named numbers per candidate (`app/rerank/features.py`); no text of the training data is in it.

## Held-out figures

Mean nDCG@10 (linear gains). In each row the reranker was trained on all the other collections; it orders the
best 50 of the reciprocal rank fusion of BM25's best 50 and the best 50 of `{encoder_name}`.

{table}

The shipped model is trained on all of them with the same parameters. The command (embeds the corpora, then trains):

    attest train reranker --data DIR --out app/bundled/reranker

## Data

| collection | queries | source and licence |
|---|---:|---|
{data}

## What it looks at

By share of the gain: {leading}.

## Limits

Every training document is one passage with at most one title line: the position of a chunk in its document and deep
heading paths had nothing to learn from. Chinese is represented by one collection, languages other than English and
Chinese by none; there the order follows BM25, cosine and coverage, which carry no language.
"""
