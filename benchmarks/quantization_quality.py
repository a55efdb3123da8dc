"""What small weights cost in quality: perplexity and KL divergence from float32, and weights against activations.

Called by `python -m benchmarks.local_models --quality --data DIR_OF_TEXT [--model FOLDER]`. With `--model` the text is
tokenized by the folder's tokenizer and scored by that model; without, a byte-level decoder (4 layers of 256) is trained
on the text for two minutes first. A model that small shows that the arithmetic is right and the order of the kinds; its
activations have no outliers, so it says little about int8 activations in a large model. The second table does: one
layer with outlier channels of growing size, as Dettmers et al. 2022 (section 4) found in large language models.
"""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.checkpoints import load_model
from app.transformer.fuse import fuse
from app.transformer.native import Kernels
from app.transformer.quantization import (
    KINDS,
    DynamicInt8Linear,
    Int4Linear,
    Int8Linear,
    Kind,
    fidelity,
    quantize,
    weight_bytes,
)
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore

_CONTEXT = 256
_BATCH = 16
_HELD_OUT = 40  # sequences


def report_quality(
    data: Path, model_folder: Path | None, *, train_minutes: float, group_size: int, kernels: Kernels | None
) -> None:
    """Print both tables; with `kernels` each form a second time through them."""
    torch.manual_seed(0)
    text = _read_text(data)
    if model_folder is None:
        token_ids = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).long()
        model = _train(token_ids[: -_HELD_OUT * _CONTEXT], minutes=train_minutes)
        print(f"a byte-level decoder trained here for {train_minutes:g} minutes on {len(token_ids):,} bytes")
    else:
        from tokenizers import Tokenizer

        loaded = load_model(model_folder, dtype=torch.float32).model
        if not isinstance(loaded, CausalLM):
            raise SystemExit(f"--model {model_folder} is no decoder")
        model = loaded
        token_ids = torch.tensor(Tokenizer.from_file(str(model_folder / "tokenizer.json")).encode(text[-200_000:]).ids)
        print(f"{model_folder.name}")
    held_out = list(token_ids[-_HELD_OUT * _CONTEXT :].split(_CONTEXT))
    reference = fuse(copy.deepcopy(model).eval())
    print(f"{'':<24}{'MB':>8}{'perplexity':>12}{'KL, nats':>12}{'same top token':>16}")
    forms: list[tuple[Kind, int]] = [(kind, group_size) for kind in KINDS if kind != "int4"]
    forms += [("int4", 32), ("int4", 64), ("int4", 128)]
    whose = [None] if kernels is None else [None, kernels]
    for number, ((kind, size), its) in enumerate(itertools.product(forms, whose)):
        candidate = fuse(copy.deepcopy(model).eval())
        quantize(candidate, kind, group_size=size, kernels=its)
        found = fidelity(_scorer(reference), _scorer(candidate), held_out)
        if number == 0:
            print(f"{'float32':<24}{weight_bytes(reference) / 1e6:>8.2f}{found.reference_perplexity:>12.4f}")
        name = (f"int4, groups {size}" if kind == "int4" else kind) + (", native" if its is not None else "")
        print(
            f"{name:<24}{weight_bytes(candidate) / 1e6:>8.2f}{found.perplexity:>12.4f}{found.kl_divergence:>12.2e}"
            f"{found.agreement:>16.2%}"
        )
    print(f"({sum(map(len, held_out)):,} held-out tokens, whole sequences at once)\n")
    report_outliers(kernels)


def report_outliers(kernels: Kernels | None) -> None:
    """Print the relative error of one layer's output, with outliers in the weights and in the activations."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1_024, 1_024, generator=generator) * 0.02
    rows = torch.randn(64, 1_024, generator=generator)
    kinds: dict[str, Callable[[Tensor], nn.Module]] = {
        "int8": Int8Linear,
        "int8_dynamic": DynamicInt8Linear,
        "int4, groups 64": lambda given: Int4Linear(given, group_size=64),
    }
    if kernels is not None:
        kinds["int8, native"] = lambda given: Int8Linear(given, kernels=kernels)
        kinds["int8_dynamic, n."] = lambda given: DynamicInt8Linear(given, kernels=kernels)
        kinds["int4, native"] = lambda given: Int4Linear(given, group_size=64, kernels=kernels)
    print("relative error of the output of a 1,024 × 1,024 layer, 6 channels of the activations enlarged")
    print(f"{'enlarged by':<16}" + "".join(f"{name:>18}" for name in kinds))
    for factor in (1, 10, 30, 100):
        enlarged = rows.clone()
        enlarged[:, ::180] *= factor
        exact = enlarged.double() @ weight.double().T
        errors = [float((make(weight)(enlarged).double() - exact).norm() / exact.norm()) for make in kinds.values()]
        print(f"{factor:<16}" + "".join(f"{error:>18.2%}" for error in errors))


def _scorer(model: CausalLM) -> Callable[[Tensor], Tensor]:
    def logits_of(token_ids: Tensor) -> Tensor:
        store = DenseStore([len(token_ids)])
        return model.logits(model(token_ids, store.positions(), store))

    return logits_of


def _train(token_ids: Tensor, *, minutes: float) -> CausalLM:
    """Return a byte-level decoder after `minutes` of AdamW with a cosine schedule by the clock."""
    config = DecoderConfig(
        vocab_size=256,
        embed_dim=256,
        num_layers=4,
        num_heads=4,
        num_kv_heads=2,
        head_dim=64,
        ff_dim=768,
        max_positions=_CONTEXT,
        rotary=(RotaryConfig(theta=10_000.0, dim=64),) * 4,
        qkv_bias=True,
    )
    model = build_causal_lm(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.1)
    store = DenseStore([_CONTEXT] * _BATCH)
    positions = store.positions()
    started = time.monotonic()
    steps, loss = 0, torch.tensor(math.inf)
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (steps + 1) / 50) * (0.05 + 0.95 * (1 + math.cos(math.pi * share)) / 2)
        starts = torch.randint(len(token_ids) - _CONTEXT, (_BATCH,))
        rows = torch.stack([token_ids[start : start + _CONTEXT + 1] for start in starts.tolist()])
        logits = model.logits(model(rows[:, :-1].flatten(), positions, store))
        loss = functional.cross_entropy(logits, rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    sys.stderr.write(f"trained {steps} steps, last loss {float(loss.detach()):.3f} nats a byte\n")
    return model


def _read_text(folder: Path, limit_chars: int = 20_000_000) -> str:
    """The folder's .txt and .md files and the "text" of its .jsonl(.gz) rows, one after the other."""
    parts: list[str] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".txt", ".md"}:
            found = [path.read_text(encoding="utf-8", errors="replace")]
        elif path.name.endswith((".jsonl", ".jsonl.gz")):
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            rows = map(json.loads, raw.decode().splitlines())
            found = [str(row["text"]) for row in rows if isinstance(row, dict) and "text" in row]
        else:
            continue
        parts += found
        size += sum(map(len, found))
        if size >= limit_chars:
            break
    text = "\n".join(parts)[:limit_chars]
    if len(text) < 100_000:
        raise SystemExit(f"--data {folder} holds {len(text):,} characters of text: give at least 100,000")
    return text
