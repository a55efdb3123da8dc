import pytest

from app.errors import Unavailable
from app.generation.breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def broken(failures: int = 3) -> tuple[CircuitBreaker, Clock]:
    """A breaker that has just opened, and its clock."""
    clock = Clock()
    breaker = CircuitBreaker(failures, 10.0, clock)
    for _ in range(failures):
        breaker.enter()
        breaker.failed()
    return breaker, clock


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(2, 10.0)
    for _ in range(3):
        breaker.enter()
        breaker.failed()
        breaker.enter()
        breaker.succeeded()
    assert breaker.state == "closed"


def test_while_open_nobody_passes_and_the_wait_is_said() -> None:
    breaker, clock = broken()
    clock.now_s += 4
    with pytest.raises(Unavailable, match="failed 3 times in a row and is left alone for 6 s more"):
        breaker.enter()
    assert breaker.state == "open"


def test_half_open_lets_one_probe_through() -> None:
    breaker, clock = broken()
    clock.now_s += 10
    assert breaker.state == "half_open"
    breaker.enter()
    with pytest.raises(Unavailable, match="being tried again"):
        breaker.enter()
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.enter()
    breaker.enter()


def test_a_failed_probe_opens_it_again_for_the_whole_time() -> None:
    breaker, clock = broken()
    clock.now_s += 10
    breaker.enter()
    breaker.failed()
    clock.now_s += 9
    with pytest.raises(Unavailable, match="left alone for 1 s"):
        breaker.enter()


def test_an_abandoned_probe_leaves_room_for_the_next() -> None:
    breaker, clock = broken()
    clock.now_s += 10
    breaker.enter()
    breaker.abandoned()
    breaker.enter()
