"""What BERT and RoBERTa carry on top of the encoder: pooler, masked-language head, next-sentence head, classifier."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from app.errors import InvalidInput
from app.transformer.encoder import BertConfig, BertEncoder, build_bert_encoder
from app.transformer.feed_forward import Activation, activation_function
from app.transformer.norm import LayerNorm


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """An encoder and which heads it has; `num_labels` 0 means no classifier.

    `classifier_reads` says whether the classifier takes the pooled state (BERT) or has a layer of its own (RoBERTa).
    """

    model_type: str = "bert"
    encoder: BertConfig = field(default_factory=BertConfig)
    pooler: bool = False
    masked_lm: bool = False
    tied_masked_lm: bool = True
    next_sentence: bool = False
    num_labels: int = 0


class Pooler(nn.Module):
    """Returns `tanh(W · state of the first position + b)`, `[b, embed_dim]`.

    Source: Devlin et al. 2019, section 3 ("the final hidden vector of [CLS]").
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(embed_dim, embed_dim)

    def forward(self, states: Tensor) -> Tensor:
        return torch.tanh(self.dense(states[:, 0]))


class MaskedLMHead(nn.Module):
    """Returns the logits `[…, vocab_size]` of every position's token: `E · norm(act(W · state)) + bias`.

    `E` is the word table, given at each call where it is tied.

    Source: Devlin et al. 2019, section 3.1, task 1.
    """

    def __init__(
        self, embed_dim: int, vocab_size: int, *, activation: Activation, norm_eps: float, tied: bool = True
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(embed_dim, embed_dim)
        self.activation = activation_function(activation)
        self.norm = LayerNorm(embed_dim, norm_eps)
        self.output = None if tied else nn.Linear(embed_dim, vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, states: Tensor, word_table: Tensor) -> Tensor:
        table = word_table if self.output is None else self.output.weight
        return nn.functional.linear(self.norm(self.activation(self.dense(states))), table, self.bias)


class Classifier(nn.Module):
    """Returns `[b, num_labels]`: `W₂ · tanh(W₁ · first state)`, or `W₂ · pooled` where a pooler comes before it.

    Source: Devlin et al. 2019, section 4.1; with a layer of its own: Liu et al. 2019 (fairseq).
    """

    def __init__(self, embed_dim: int, num_labels: int, *, own_layer: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(embed_dim, embed_dim) if own_layer else None
        self.output = nn.Linear(embed_dim, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(x if self.dense is None else torch.tanh(self.dense(x)))
        return out


class EncoderModel(nn.Module):
    """Returns the states `[b, s, embed_dim]`; the heads of its config are methods over them.

    Args:
        config: sizes and heads.
        encoder: of `config.encoder`'s sizes; a fresh one with random weights when absent.
    """

    def __init__(self, config: EncoderConfig, encoder: BertEncoder | None = None) -> None:
        super().__init__()
        sizes = config.encoder
        self.config = config
        self.encoder = build_bert_encoder(sizes) if encoder is None else encoder
        self.pooler = Pooler(sizes.embed_dim) if config.pooler else None
        self.masked_lm = (
            MaskedLMHead(
                sizes.embed_dim,
                sizes.vocab_size,
                activation=sizes.activation,
                norm_eps=sizes.norm_eps,
                tied=config.tied_masked_lm,
            )
            if config.masked_lm
            else None
        )
        self.next_sentence = nn.Linear(sizes.embed_dim, 2) if config.next_sentence else None
        self.classifier = (
            Classifier(sizes.embed_dim, config.num_labels, own_layer=not config.pooler) if config.num_labels else None
        )

    def forward(self, token_ids: Tensor, mask: Tensor, token_types: Tensor | None = None) -> Tensor:
        """Encode `token_ids` int64 `[b, s]`; `mask` bool `[b, s]`, True = a real token; `token_types` as token_ids."""
        states: Tensor = self.encoder(token_ids, mask, token_types)
        return states

    def masked_lm_logits(self, states: Tensor) -> Tensor:
        """Return the masked-language logits `[…, vocab_size]` of `states` `[…, embed_dim]`.

        Raises:
            InvalidInput: the model has no such head.
        """
        head = _present(self.masked_lm, "masked-language", "BertForMaskedLM or RobertaForMaskedLM")
        logits: Tensor = head(states, self.encoder.embeddings.word.weight)
        return logits

    def pooled(self, states: Tensor) -> Tensor:
        """Return the pooler's vector `[b, embed_dim]` of `states` `[b, s, embed_dim]`.

        Raises:
            InvalidInput: the model has no pooler.
        """
        pooled: Tensor = _present(self.pooler, "pooler", "BertModel or RobertaModel")(states)
        return pooled

    def next_sentence_logits(self, states: Tensor) -> Tensor:
        """Return `[b, 2]`: the second segment follows the first, it does not.

        Raises:
            InvalidInput: the model has no such head.
        """
        head = _present(self.next_sentence, "next-sentence", "BertForPreTraining or BertForNextSentencePrediction")
        logits: Tensor = head(self.pooled(states))
        return logits

    def class_logits(self, states: Tensor) -> Tensor:
        """Return the classifier's `[b, num_labels]`, as of a cross-encoder.

        Raises:
            InvalidInput: the model has no classifier.
        """
        head = _present(self.classifier, "classifier", "BertForSequenceClassification or its RoBERTa twin")
        logits: Tensor = head(states[:, 0] if self.pooler is None else self.pooled(states))
        return logits


def _present(head: nn.Module | None, name: str, architectures: str) -> nn.Module:
    if head is None:
        raise InvalidInput(f"this encoder was loaded without a {name} head: take a folder saved from {architectures}")
    return head
