"""A tiny decoder whose answers depend on every token that it read, and prompts for it."""

from __future__ import annotations

import random

import torch

from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm, greedy
from app.transformer.rotary import RotaryConfig, RotaryScaling

VOCAB = 61
CONTEXT = 96
BYTES_PER_TOKEN = 2 * 2 * 2 * 8 * 4  # keys and values, two layers, two heads of size 8, float32


def tiny_model(
    *, scaling: RotaryScaling | None = None, windows: tuple[int | None, ...] = (), vocab_size: int = VOCAB
) -> CausalLM:
    config = DecoderConfig(
        vocab_size=vocab_size,
        embed_dim=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        ff_dim=48,
        max_positions=CONTEXT,
        rotary=(RotaryConfig(theta=10_000.0, dim=8, scaling=scaling),) * 2,
        windows=windows,
        tie_embeddings=False,
    )
    model = build_causal_lm(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:  # wide enough that attention matters and the logits are far apart
                weight.normal_(std=0.35, generator=generator)
    return model


def random_prompt(chosen: random.Random, tokens: int) -> list[int]:
    return [chosen.randrange(VOCAB) for _ in range(tokens)]


def greedy_alone(model: CausalLM, prompt: list[int], tokens: int) -> list[int]:
    return greedy(model, [prompt], tokens)[0]
