from __future__ import annotations

from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sequence import GeneratedSequence
from app.transformer.engine.memory import Extent
from app.transformer.engine.requests import Request
from app.transformer.engine.schedule import Running, Waiting, WaitingQueue, plan

PARAMS = SamplingParams(max_tokens=4)


def request(namespace: str = "", tokens: int = 1) -> Request:
    return Request([1] * tokens, PARAMS, namespace, (), None, lambda: None)


def running(tokens: int, computed: int = 0) -> Running:
    its = request(tokens=tokens)
    return Running(its, GeneratedSequence(its.prompt_ids, PARAMS), Extent(0, tokens + 4), computed)


def waiting(namespace: str) -> Waiting:
    return Waiting(request(namespace), GeneratedSequence([1], PARAMS), 5)


def counts(steps: list[tuple[Running, int]], order: list[Running]) -> list[int]:
    taken = {id(each): count for each, count in steps}
    return [taken.get(id(each), 0) for each in order]


def test_everyone_who_decodes_gets_a_token_and_prompts_share_one_chunk() -> None:
    order = [running(9, 8), running(50), running(3), running(20, 19)]
    assert counts(plan(list(order), chunk_tokens=10, alone_chunk_tokens=40), order) == [1, 10, 0, 1]


def test_alone_a_prompt_gets_the_larger_chunk_and_leaves_the_rest_to_the_next() -> None:
    order = [running(30), running(25), running(25)]
    assert counts(plan(list(order), chunk_tokens=10, alone_chunk_tokens=40), order) == [30, 10, 0]


def test_prompts_take_turns() -> None:
    long, short = running(100), running(5)
    line = [long, short]
    turns = []
    for _ in range(3):
        steps = plan(line, chunk_tokens=8, alone_chunk_tokens=8)
        turns.append(counts(steps, [long, short]))
        for each, count in steps:
            each.computed += count
        line = [each for each in line if each.pending]
    assert turns[:2] == [[8, 0], [3, 5]]
    assert turns[2] == [8, 0]


def test_namespaces_take_turns_and_each_line_keeps_its_order() -> None:
    queue = WaitingQueue()
    first, second, other = waiting("a"), waiting("a"), waiting("b")
    for each in (first, second, other):
        queue.push(each)
    assert len(queue) == 3
    assert queue.first() is first
    assert [queue.pop(), queue.pop(), queue.pop()] == [first, other, second]
    assert queue.first() is None
    assert len(queue) == 0


def test_removing_takes_only_the_unwanted_out() -> None:
    queue = WaitingQueue()
    gone, stays = waiting("a"), waiting("b")
    queue.push(gone)
    queue.push(stays)
    assert queue.remove(lambda each: each is gone) == [gone]
    assert len(queue) == 1
    assert queue.first() is stays
