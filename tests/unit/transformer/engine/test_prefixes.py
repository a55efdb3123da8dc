from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.transformer.engine.prefixes import PrefixTree


def test_the_longest_known_prefix_in_whole_blocks_is_found() -> None:
    tree = PrefixTree(8, 2)
    new = tree.insert("", [1, 2, 3, 4, 5])
    assert [number for number, _ in new] == [0, 1]
    blocks = [block for _, block in new]
    assert tree.match("", [1, 2, 3, 4, 5, 6]) == blocks
    assert tree.match("", [1, 2, 3, 9]) == blocks[:1]
    assert tree.match("", [9, 2, 3, 4]) == []
    assert tree.match("", [1]) == []


def test_a_shared_prefix_is_kept_once() -> None:
    tree = PrefixTree(8, 2)
    tree.insert("", [1, 2, 3, 4])
    assert [number for number, _ in tree.insert("", [1, 2, 5, 6])] == [1]
    assert tree.used_blocks == 3


def test_the_same_block_behind_another_beginning_is_another_block() -> None:
    tree = PrefixTree(8, 2)
    tree.insert("", [1, 2, 7, 7])
    assert tree.match("", [7, 7]) == []
    tree.insert("", [3, 4, 7, 7])
    assert tree.match("", [1, 2, 7, 7])[1] != tree.match("", [3, 4, 7, 7])[1]


def test_namespaces_never_see_each_other() -> None:
    tree = PrefixTree(8, 2)
    tree.insert("a", [1, 2, 3, 4])
    assert tree.match("b", [1, 2, 3, 4]) == []
    tree.insert("b", [1, 2])
    tree.forget("a".__eq__)
    assert tree.match("a", [1, 2]) == []
    assert len(tree.match("b", [1, 2])) == 1
    assert tree.used_blocks == 1


def test_the_least_recently_used_end_goes_first() -> None:
    tree = PrefixTree(4, 1)
    tree.insert("", [1, 2])
    tree.insert("", [3, 4])
    tree.match("", [1, 2])
    tree.insert("", [5])
    assert len(tree.match("", [3, 4])) == 1
    assert len(tree.match("", [1, 2])) == 2
    assert len(tree.match("", [5])) == 1


def test_a_text_longer_than_all_blocks_keeps_its_beginning() -> None:
    tree = PrefixTree(3, 1)
    assert [number for number, _ in tree.insert("", [1, 2, 3, 4, 5])] == [0, 1, 2]
    assert len(tree.match("", [1, 2, 3, 4, 5])) == 3
    assert tree.insert("", [1, 2, 3, 4, 5]) == []


def test_evicting_the_last_block_of_a_namespace_for_itself_keeps_the_tree_whole() -> None:
    tree = PrefixTree(1, 1)
    tree.insert("a", [1])
    tree.insert("a", [2])
    assert tree.match("a", [1]) == []
    assert len(tree.match("a", [2])) == 1


def test_no_block_remembers_nothing() -> None:
    tree = PrefixTree(0, 4)
    assert tree.insert("", list(range(12))) == []
    assert tree.match("", list(range(12))) == []


texts = st.lists(st.integers(0, 2), max_size=9)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 7), st.lists(st.tuples(st.sampled_from("ab"), texts, st.booleans()), max_size=25))
def test_a_block_that_is_found_always_holds_what_its_path_says(num_blocks: int, calls: list) -> None:
    tree = PrefixTree(num_blocks, 2)
    contents: dict[int, tuple[str, tuple[int, ...]]] = {}
    for namespace, text, inserts in calls:
        if inserts:
            new = tree.insert(namespace, text)
            assert len({block for _, block in new}) == len(new)
            for number, block in new:
                contents[block] = (namespace, tuple(text[: 2 * number + 2]))
        found = tree.match(namespace, text)
        assert [contents[block] for block in found] == [
            (namespace, tuple(text[: 2 * n + 2])) for n in range(len(found))
        ]
        assert tree.used_blocks <= num_blocks
        if inserts:
            assert len(found) == min(len(text) // 2, num_blocks)
