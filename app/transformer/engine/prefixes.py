"""Prefixes seen before: which blocks of tokens the memory still holds, as a tree over token blocks.

A node is a block of tokens in the place where it was computed: its path from the root is all the text before it, so
equal paths mean equal keys and values. Blocks are copied in and out between two steps by the engine's own thread, so
no block is in use while another is evicted and no reference counts are needed: what must outlive a node is its path
to the root, and the order of use keeps that by itself (see `_touch`).

Source: Zheng et al. 2024 (SGLang), section 3, RadixAttention; here with blocks of fixed size and copies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

Tokens = tuple[int, ...]


class _Node:
    __slots__ = ("block", "children", "parent", "tokens")

    def __init__(self, tokens: Tokens, block: int, parent: _Node | None) -> None:
        self.tokens = tokens
        self.block = block
        self.parent = parent
        self.children: dict[Tokens, _Node] = {}


class PrefixTree:
    """Knows which block numbers hold the longest known prefix of a text; evicts the least recently used block.

    Namespaces share the blocks but never a path: the time that a request of one takes cannot tell what another asked.

    Args:
        num_blocks: blocks that the memory holds; 0 remembers nothing.
        block_tokens: tokens in a block; only whole blocks are remembered.
    """

    def __init__(self, num_blocks: int, block_tokens: int) -> None:
        self.num_blocks = num_blocks
        self.block_tokens = block_tokens
        self._free = list(range(num_blocks - 1, -1, -1))
        self._roots: dict[str, _Node] = {}
        self._order: OrderedDict[_Node, str] = OrderedDict()  # least recently used first → its namespace

    @property
    def used_blocks(self) -> int:
        """How many blocks hold something."""
        return len(self._order)

    def match(self, namespace: str, token_ids: Sequence[int]) -> list[int]:
        """Return the blocks of the longest known prefix of `token_ids`, in order."""
        path = self._path(namespace, token_ids)
        self._touch(namespace, path)
        return [node.block for node in path]

    def insert(self, namespace: str, token_ids: Sequence[int]) -> list[tuple[int, int]]:
        """Remember the whole blocks of `token_ids`; return `(number in the text, block)` of those to be filled.

        The caller copies them before anything else is matched. Fewer are remembered when the text is longer than
        all blocks together.
        """
        path = self._path(namespace, token_ids)
        self._touch(namespace, path)
        size = self.block_tokens
        on_path = set(path)
        new: list[tuple[int, int]] = []
        for number in range(len(path), len(token_ids) // size):
            block = self._take(on_path)
            if block is None:
                break
            # The root is looked up only now: taking the block may have ended the namespace's last path, and its root.
            parent = path[-1] if path else self._roots.setdefault(namespace, _Node((), -1, None))
            child = _Node(tuple(token_ids[number * size : (number + 1) * size]), block, parent)
            parent.children[child.tokens] = child
            path.append(child)
            on_path.add(child)
            new.append((number, block))
        self._touch(namespace, path)
        return new

    def forget(self, chosen: Callable[[str], bool]) -> None:
        """Drop everything that the namespaces asked of which `chosen` is true."""
        for node in [node for node, owner in self._order.items() if chosen(owner)]:
            self._free.append(node.block)
            del self._order[node]
        self._roots = {namespace: root for namespace, root in self._roots.items() if not chosen(namespace)}

    def _path(self, namespace: str, token_ids: Sequence[int]) -> list[_Node]:
        node = self._roots.get(namespace)
        path: list[_Node] = []
        size = self.block_tokens
        for start in range(0, len(token_ids) - size + 1, size):
            node = None if node is None else node.children.get(tuple(token_ids[start : start + size]))
            if node is None:
                break
            path.append(node)
        return path

    def _touch(self, namespace: str, path: Sequence[_Node]) -> None:
        """Make the path the most recently used, its end first: the oldest node of all is then always a leaf."""
        for node in reversed(path):
            self._order[node] = namespace
            self._order.move_to_end(node)

    def _take(self, on_path: set[_Node]) -> int | None:
        if self._free:
            return self._free.pop()
        oldest = next(iter(self._order), None)
        if oldest is None or oldest in on_path:
            return None
        namespace = self._order.pop(oldest)
        assert not oldest.children, "a block was older than one that follows it"
        parent = oldest.parent
        assert parent is not None
        del parent.children[oldest.tokens]
        if parent.parent is None and not parent.children:
            self._roots.pop(namespace, None)
        return oldest.block
