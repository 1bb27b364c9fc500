"""The event stream against a small HTTP server: events of a newer engine, and what is no event."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from engine.client.event_stream import EventStream
from engine.contract.errors import EngineError
from engine.contract.events import EVENT, Preview, Queued


@contextmanager
def stream_of(*lines: str) -> Iterator[EventStream]:
    """A stream of what a server sends: each line as one server-sent event."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write("".join(f"data: {line}\n\n" for line in lines).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stream = EventStream(httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}"), 0, lambda _: None)
    try:
        yield stream
    finally:
        stream.close()
        server.shutdown()
        server.server_close()


def line(event: Queued | Preview) -> str:
    return EVENT.dump_json(event).decode()


def test_events_of_unknown_types_are_skipped_with_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    first, last = Queued(seq=1, time_s=1.0, job_id="a"), Preview(seq=4, time_s=2.0, job_id="a", step=1)
    newer = [f'{{"type": "verdict", "seq": {seq}, "time_s": 1.5, "job_id": "a", "score": 0.5}}' for seq in (2, 3)]
    with caplog.at_level(logging.WARNING), stream_of(line(first), *newer, line(last)) as stream:
        assert [next(stream), next(stream)] == [first, last]
    assert [record.getMessage() for record in caplog.records] == [
        'events of type "verdict" are skipped: the engine is newer than this program'
    ]


def test_the_number_of_a_skipped_event_counts_as_known() -> None:
    old, new = (Queued(seq=seq, time_s=1.0, job_id="a") for seq in (8, 10))
    with stream_of('{"type": "verdict", "seq": 9, "time_s": 1.0}', line(old), line(new)) as stream:
        assert next(stream) == new


@pytest.mark.parametrize(
    "data", ['{"type": "queued", "seq": 1}', '{"type": "moved", "seq": 1}', '{"seq": 1}', "[]", "no json"]
)
def test_what_is_no_event_ends_the_stream_with_an_error(data: str) -> None:
    with stream_of(data) as stream, pytest.raises(EngineError, match="one version"):
        next(stream)
