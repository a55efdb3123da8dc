import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from app.api.streams import Bridge, event
from app.api.wire import json_ready, rfc3339


def test_an_event_is_one_data_line_whatever_the_text_holds():
    text = 'line\nnext\r\n\u2028para\u2029\u0085 "quoted" 北京 😀'
    raw = event("token", {"text": text}).encode().decode()
    assert raw.startswith("event: token\ndata: ")
    assert raw.endswith("\n\n")
    lines = raw.splitlines()  # the strictest reader: also splits at U+0085, U+2028 and U+2029
    assert len(lines) == 3
    assert json.loads(lines[1].removeprefix("data: ")) == {"text": text}
    assert "北京 😀" in lines[1]


async def test_the_bridge_keeps_the_order_and_ends_with_the_outcome():
    bridge = Bridge()

    def work():
        for number in range(100):
            bridge.emit("token", {"text": str(number)})
        return "done"

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).add_done_callback(bridge.finish)
        texts = [body["text"] async for _, body in bridge]
    assert texts == [str(number) for number in range(100)]
    assert bridge.outcome is not None
    assert bridge.outcome.result() == "done"


def test_a_worker_that_outlives_the_loop_is_not_hurt():
    async def begin():
        return Bridge()

    bridge = asyncio.run(begin())
    bridge.emit("token", {"text": "nobody listens"})


def test_json_ready_turns_what_stages_note_into_json():
    @dataclass
    class Point:
        x: float
        name: str

    noted = {
        1: (Point(1.5, "a"), {"b", "a"}),
        "nan": float("nan"),
        "inf": -float("inf"),
        "array": np.asarray([1, 2], dtype=np.float32),
        "number": np.float32(0.5),
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=8))),
        "flag": True,
        "other": object,
    }
    ready = json_ready(noted)
    json.dumps(ready, allow_nan=False)
    assert ready["1"] == [{"x": 1.5, "name": "a"}, ["a", "b"]]
    assert ready["nan"] is None
    assert ready["inf"] is None
    assert ready["array"] == [1.0, 2.0]
    assert ready["number"] == 0.5
    assert ready["when"] == "2026-01-01T19:04:05Z"
    assert ready["flag"] is True


def test_times_are_utc_with_a_z():
    assert rfc3339(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00Z"
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 6)) == "2026-01-02T03:04:05.000006Z"
