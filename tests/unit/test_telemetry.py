import io
from collections.abc import Iterator

import pytest
import structlog

from app.errors import Cancelled
from app.telemetry import Metrics, Trace, configure_logging, get_logger


@pytest.fixture
def logging_restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("logging_restored")
def test_lines_go_to_the_standard_error_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that ran inside another program may have set logging up on a stream that is closed by now."""
    log = get_logger("test")
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", first)
    configure_logging()
    log.info("early")
    assert "early" in first.getvalue()
    monkeypatch.setattr("sys.stderr", second)
    first.close()
    log.info("late")
    assert "late" in second.getvalue()


def test_stages_are_kept_in_order_with_their_details_and_summed_in_timings() -> None:
    trace = Trace("req")
    with trace.stage("retrieve", queries=2) as stage:
        stage.detail["hits"] = 7
    with trace.stage("retrieve"):
        pass

    first, second = trace.stages()
    assert (first.stage, dict(first.detail)) == ("retrieve", {"queries": 2, "hits": 7})
    timings = trace.timings_ms()
    assert timings["retrieve"] == pytest.approx(first.ms + second.ms, abs=1e-3)
    assert timings["total"] >= timings["retrieve"]


def test_a_stage_that_fails_is_recorded_with_its_error_and_raises() -> None:
    trace = Trace()
    with pytest.raises(ZeroDivisionError), trace.stage("rerank"):
        raise ZeroDivisionError("no")
    assert trace.stages()[0].error == "ZeroDivisionError: no"


def test_a_cancelled_trace_starts_no_further_stage() -> None:
    trace = Trace()
    trace.cancel()
    with pytest.raises(Cancelled), trace.stage("generate"):
        pytest.fail("the stage ran")
    assert trace.stages() == ()


def test_cancellation_may_come_from_outside() -> None:
    gone = [False]
    trace = Trace(cancelled=lambda: gone[0])
    assert not trace.cancelled()
    gone[0] = True
    assert trace.cancelled()


def test_metrics_count_a_stage_under_its_name() -> None:
    metrics = Metrics()
    with Trace(metrics=metrics).stage("dense"):
        pass
    assert 'attest_stage_seconds_count{stage="dense"} 1.0' in metrics.render().decode()
