"""What follows a copied path, computed for whole runs of source tokens at once.

A reader nearly always copies the next token of the source. So when a path is asked for, the paths that go on from it
in the source are computed with it: one pass of the decoder then answers several steps of a beam search, whose result
stays what it is step by step.

Source: Stern et al. 2018, section 3 (proposing several steps and checking them in parallel).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from app.transformer.cross_decoder import KeyValues
from app.transformer.pointer import Memory, PointerReader

Path = tuple[int, ...]
_AHEAD = 7  # tokens beyond the one asked for: most answers end before
_PADDED = 1.5  # a batch computes at most so many times the steps that its runs have


class Following:
    """Natural log-probabilities of what comes after paths over a memory of one group.

    Args:
        model: in evaluation mode.
        memory: of one group.
        memory_kv: `model.decoder.project_memory(memory.states)`.
        branches: next tokens kept for each path, the most probable.
        max_tokens: longest path.
        check: called before every pass of the decoder; raises to abandon.
    """

    def __init__(
        self,
        model: PointerReader,
        memory: Memory,
        memory_kv: list[KeyValues],
        *,
        branches: int,
        max_tokens: int,
        check: Callable[[], None],
    ) -> None:
        self._model = model
        self._memory = memory
        self._memory_kv = memory_kv
        self._branches = branches
        self._max_tokens = max_tokens
        self._check = check
        self._copyable: list[bool] = memory.copyable[0].tolist()
        self._ends: dict[Path, float] = {}
        self._steps: dict[Path, list[tuple[float, int]]] = {}  # a path's likeliest next tokens
        self._next: dict[Path, float] = {}  # log-probability of the path's last token after the ones before it

    def end(self, path: Path) -> float:
        """Return the log-probability of stopping after a path that was looked up."""
        return self._ends[path]

    def best(self, path: Path) -> list[tuple[float, int]]:
        """Return the likeliest next tokens after a path that was looked up: log-probability and position."""
        return self._steps[path]

    def logprob(self, run: Path) -> float:
        """Return the log-probability of a looked-up run, its first token given, up to and with the stop."""
        return sum(self._next[run[:length]] for length in range(2, len(run) + 1)) + self._ends[run]

    def look_up(self, paths: Sequence[Path], runs: Sequence[Path] = ()) -> None:
        """Compute what is not known yet: `paths` of one length and the tokens behind them, and whole `runs`."""
        wanted = [self._extended(path) for path in paths if path not in self._ends]
        wanted += [run for run in runs if run not in self._next and run not in self._ends]
        known = len(paths[0]) - 1 if paths and not runs else 0
        for batch in _alike(_without_prefixes(wanted)):
            self._check()
            self._compute(batch, known)

    def _extended(self, path: Path) -> Path:
        run = list(path)
        while len(run) < min(len(path) + _AHEAD, self._max_tokens):
            after = run[-1] + 1
            if after == len(self._copyable) or not self._copyable[after]:
                break
            run.append(after)
        return tuple(run)

    def _compute(self, runs: Sequence[Path], known: int) -> None:
        """One pass over `runs`, of which the first `known` steps need no answer."""
        model, memory = self._model, self._memory
        longest = max(map(len, runs))
        copied = torch.tensor([[*run, *[run[-1]] * (longest - len(run))] for run in runs], device=memory.states.device)
        inputs = model.copied_proj(memory.states[0, copied])
        begin = model.begin_embedding(len(runs)).to(inputs.dtype)
        decoded = model.decode(memory, torch.cat([begin, inputs], dim=1), self._memory_kv)
        asked = copied[:, known:]
        logits = model.later_logits(widened(memory, len(runs)), decoded[:, 1 + known :], asked)
        logits -= torch.logsumexp(logits, dim=2, keepdim=True)
        ends = logits[:, :, -1].tolist()
        top = logits[:, :, :-1].topk(self._branches, dim=2)
        values, positions = top.values.tolist(), top.indices.tolist()
        nexts = logits[:, :-1].gather(2, asked[:, 1:].unsqueeze(2)).squeeze(2).tolist()
        for row, run in enumerate(runs):
            for step in range(len(run) - known):
                path = run[: known + step + 1]
                self._ends[path] = ends[row][step]
                self._steps[path] = list(zip(values[row][step], positions[row][step], strict=True))
                if len(path) < len(run):
                    self._next[run[: len(path) + 1]] = nexts[row][step]


def widened(memory: Memory, rows: int) -> Memory:
    """Return the memory as if of that many groups, nothing copied; its keys stay those of one."""
    return Memory(
        states=memory.states.expand(rows, -1, -1),
        readable=memory.readable.expand(rows, -1),
        copyable=memory.copyable.expand(rows, -1),
        start_logits=memory.start_logits.expand(rows, -1),
        end_logits=memory.end_logits.expand(rows, -1),
        null_logits=memory.null_logits.expand(rows, -1),
        keys=memory.keys,
    )


def _without_prefixes(runs: Sequence[Path]) -> list[Path]:
    """The runs by falling length, without those that another begins with."""
    kept: list[Path] = []
    covered: set[Path] = set()
    for run in sorted(set(runs), key=lambda run: (-len(run), run)):
        if run not in covered:
            kept.append(run)
            covered.update(run[:length] for length in range(1, len(run)))
    return kept


def _alike(runs: Sequence[Path]) -> Iterator[list[Path]]:
    """Runs of falling length in batches of like length."""
    start = 0
    for end in range(1, len(runs) + 1):
        padded = len(runs[start]) * (end + 1 - start)
        if end == len(runs) or padded > _PADDED * sum(map(len, runs[start : end + 1])):
            yield list(runs[start:end])
            start = end
