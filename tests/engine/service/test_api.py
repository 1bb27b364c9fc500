"""The HTTP interface, asked as a stranger would: with httpx, and with a bare socket where that is the point."""

import gc
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from engine.client.client import EngineClient
from engine.contract.errors import Conflict, EngineError, Rejected
from engine.service.api import make_api
from engine.service.change_signal import ChangeSignal
from engine.service.dispatcher import Dispatcher
from engine.service.groups import make_group
from engine.service.models import Models
from engine.service.settings import Settings
from engine.service.store import Store
from engine.service.tables import JobRow, open_database
from engine.storage.media import file_sha256
from engine.storage.workspace import Workspace
from tests.engine.factories import a_job, a_picture, events_of, milestones, until, wait_until

pytestmark = pytest.mark.usefixtures("shared")


@pytest.fixture
def http(shared: EngineClient) -> httpx.Client:
    return shared._http


PROTECTED = ["/status", "/jobs/x", "/jobs/x/preview", "/models", "/events", f"/media/{'0' * 64}", "/assistants/jobs/x"]


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Bearer \xe9", "Basic Zm9vOmJhcg=="])
def test_nothing_without_the_token(shared: EngineClient, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = httpx.get(shared.url + path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "token"


def test_health_needs_no_token(shared: EngineClient) -> None:
    assert httpx.get(shared.url + "/healthz").json() == {"status": "ok"}


def test_the_description_names_every_route(shared: EngineClient) -> None:
    paths = httpx.get(shared.url + "/openapi.json").json()["paths"]
    names = [route["operationId"] for verbs in paths.values() for route in verbs.values()]
    assert len(names) == len(set(names)), "generated clients name their methods so"
    assert {f"{verb} {path}" for path, verbs in paths.items() for verb in verbs} == {
        *("get /healthz", "get /status", "get /models", "get /assistants"),
        "get /jobs",
        "post /jobs",
        "get /jobs/{job_id}",
        "delete /jobs/{job_id}",
        "post /jobs/{job_id}/move",
        "get /jobs/{job_id}/preview",
        "post /assistants/jobs",
        "get /assistants/jobs/{job_id}",
        "delete /assistants/jobs/{job_id}",
        *("post /pause", "post /resume"),
        "get /events",
        "get /media/{sha256}",
        "head /media/{sha256}",
        "put /media/{sha256}",
    }


def test_submitting_twice_and_otherwise(http: httpx.Client) -> None:
    job = a_job("idempotent")
    body = job.model_dump_json()
    codes = [http.post("/jobs", content=body, headers=JSON).status_code for _ in range(3)]
    assert codes == [201, 200, 200]
    other = a_job("another", job_id=job.id).model_dump_json()
    answer = http.post("/jobs", content=other, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "body"),
        (b"{", "JSON"),
        (b"[]", "body"),
        (a_job().model_dump_json().replace('"seed":1', '"seed":-1').encode(), "seed: Input should be greater"),
        (a_job().model_dump_json().replace('"seed":1', '"seed":2').encode(), "recipe"),
        (a_job().model_dump_json().replace('"seed"', '"sede"').encode(), "sede: Extra inputs"),
        (a_job().model_dump_json().replace('"guidance_scale":3.0', '"guidance_scale":NaN').encode(), ""),
    ],
)
def test_what_is_no_job(http: httpx.Client, body: bytes, words: str) -> None:
    answer = http.post("/jobs", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert words in answer.json()["message"]


def test_a_body_too_large(http: httpx.Client) -> None:
    answer = http.post("/jobs", content=b" " * (5 * 2**20), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("verb", "path", "code"),
    [
        ("GET", "/jobs/nobody", "unknown_job"),
        ("DELETE", "/jobs/nobody", "unknown_job"),
        ("GET", "/jobs/nobody/preview", "not_found"),
        ("GET", "/jobs/..%2f..%2ftoken/preview", "not_found"),
        ("GET", f"/media/{'0' * 64}", "unknown_media"),
        ("GET", "/nowhere", "not_found"),
    ],
)
def test_what_is_not_there(http: httpx.Client, verb: str, path: str, code: str) -> None:
    answer = http.request(verb, path)
    assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_a_fault_that_nobody_thought_of_has_the_form_of_every_error(tmp_path: Path) -> None:
    """Here a row of the database that is no job."""
    settings = Settings(Workspace.at(tmp_path / "workspace"), tmp_path, tmp_path)
    database = open_database(settings.database)
    with Session(database) as session, session.begin():
        session.add(JobRow(id="j1", body="{}", state="queued"))
    changes, models = ChangeSignal(), Models(tmp_path, tmp_path, tmp_path / "hashes.json")
    store = Store(database, changes.notify)
    api = make_api(settings, store, changes, models, Dispatcher(settings, store, changes, lambda: make_group(settings)))
    headers = {"Authorization": f"Bearer {settings.workspace.token()}"}
    answer = TestClient(api, raise_server_exceptions=False, headers=headers).get("/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "engine")
    assert "logs/service.log" in answer.json()["message"]


# ---- media


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return a_picture(tmp_path / "Noise.PNG", (64, 64), seed=7)


@pytest.fixture
def stored(shared: EngineClient, picture: Path) -> str:
    return shared.put_media(picture)


def test_media_come_back_as_they_were(shared: EngineClient, stored: str, picture: Path, tmp_path: Path) -> None:
    shared.fetch_media(stored, tmp_path / "back.png")
    assert (tmp_path / "back.png").read_bytes() == picture.read_bytes()


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=10-19", 206, slice(10, 20)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=5-99999999", 206, slice(5, None)),
        (None, 200, slice(None)),
    ],
)
def test_ranges(
    http: httpx.Client, stored: str, picture: Path, asked: str | None, status: int, expected: slice
) -> None:
    whole = picture.read_bytes()
    answer = http.get(f"/media/{stored}", headers={"Range": asked} if asked else {})
    assert (answer.status_code, answer.content) == (status, whole[expected])
    assert answer.headers["content-type"] == "image/png"
    if status == 206:
        first = range(len(whole))[expected][0]
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(whole)}"


def test_a_range_beyond_the_end(http: httpx.Client, stored: str, picture: Path) -> None:
    size = picture.stat().st_size
    answer = http.get(f"/media/{stored}", headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_head_tells_size_and_type(http: httpx.Client, stored: str, picture: Path) -> None:
    answer = http.head(f"/media/{stored}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == picture.stat().st_size
    assert answer.headers["etag"] == f'"{stored}"'
    assert http.head(f"/media/{'1' * 64}").status_code == 404


def test_content_of_another_hash_is_not_kept(http: httpx.Client, picture: Path) -> None:
    name = "2" * 64
    answer = http.put(f"/media/{name}", content=picture.read_bytes())
    assert (answer.status_code, answer.json()["code"]) == (422, "media")
    assert http.head(f"/media/{name}").status_code == 404


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n cut off"])
def test_what_is_no_media_is_not_kept(http: httpx.Client, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content)
    name = file_sha256(path)
    answer = http.put(f"/media/{name}", content=content)
    assert (answer.status_code, answer.json()["code"]) == (422, "conditioning")
    assert http.head(f"/media/{name}").status_code == 404


@pytest.mark.parametrize("name", ["x", "0" * 63, "Z" * 64, "..%2f" * 12 + "pass"])
def test_media_names_are_hashes(http: httpx.Client, name: str) -> None:
    assert http.get(f"/media/{name}").status_code in (404, 422)


# ---- events


def test_events_resume_where_they_were_left(shared: EngineClient) -> None:
    job = a_job("resume here")
    shared.submit(job)
    all_of_it = events_of(shared, job.id)
    middle = all_of_it[len(all_of_it) // 2].seq
    stream = shared.events(middle)
    again = until(stream, lambda event: event.seq >= all_of_it[-1].seq)
    stream.close()
    assert [event for event in again if getattr(event, "job_id", "") == job.id] == [
        event for event in all_of_it if event.seq > middle
    ]
    numbers = [event.seq for event in all_of_it]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("by_header", [True, False])
def test_both_ways_to_say_where_to_go_on(http: httpx.Client, shared: EngineClient, by_header: bool) -> None:
    job = a_job("go on")
    shared.submit(job)
    first = events_of(shared, job.id)[0].seq
    headers, params = ({"Last-Event-ID": str(first)}, {"after": 0}) if by_header else ({}, {"after": first})
    with http.stream("GET", "/events", headers=headers, params=params) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in answer.iter_lines() if line.startswith(("id:", "data:")))
        number, data = next(lines), next(lines)
    assert number == f"id: {first + 1}"
    assert json.loads(data.removeprefix("data: "))["seq"] == first + 1


def test_a_place_that_has_not_come_is_said(http: httpx.Client, shared: EngineClient) -> None:
    answer = http.get("/events", params={"after": 10**9})
    assert (answer.status_code, answer.json()["code"]) == (409, "cursor")
    stream = shared.events(10**9)
    assert next(stream).seq == 1, "the client begins anew where the engine's history is younger than its own"
    stream.close()


def test_a_reader_that_never_reads_holds_up_nobody(shared: EngineClient) -> None:
    address = urlsplit(shared.url)
    assert address.hostname and address.port
    token = shared._http.headers["Authorization"]
    with socket.create_connection((address.hostname, address.port)) as sleeper:
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        request = f"GET /events?after=0 HTTP/1.1\r\nHost: engine\r\nAuthorization: {token}\r\n\r\n"
        sleeper.sendall(request.encode())
        jobs = [a_job(f"sleeper {number}", num_steps=30) for number in range(3)]
        for job in jobs:
            shared.submit(job)
        for job in jobs:
            assert milestones(events_of(shared, job.id))[-1] == "finished"


def test_closing_a_stream_wakes_its_reader(shared: EngineClient) -> None:
    stream = shared.events(shared.status().last_seq)
    ended = threading.Event()

    def read() -> None:
        for _ in stream:
            continue
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    wait_until(lambda: stream._socket is not None, "the stream")
    began_s = time.monotonic()
    stream.close()
    assert ended.wait(20), f"still reading after {time.monotonic() - began_s:.1f} s"


def test_streams_left_midway_hold_up_no_call(shared: EngineClient) -> None:
    """What is left of a closed stream goes with the garbage collector, here at every place within another call."""

    def leave_and_ask() -> None:
        for num_allocations in range(1, 600, 3):
            gc.disable()
            stream = client.events(0)
            assert next(stream).seq == 1
            stream.close()
            del stream
            gc.set_threshold(gc.get_count()[0] + num_allocations)
            gc.enable()
            client.status()
        done.set()

    client = EngineClient(shared.url, shared._token)  # one of its own: a call that waits for itself keeps it for ever
    done = threading.Event()
    thresholds = gc.get_threshold()
    try:
        threading.Thread(target=leave_and_ask, daemon=True).start()
        assert done.wait(60), "a call waits for itself"
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
    client.close()


# ---- queue


def test_pause_holds_the_queue_and_resume_lets_it_go(shared: EngineClient) -> None:
    assert shared.pause().paused
    first, second = a_job("held 1"), a_job("held 2")
    assert (shared.submit(first).position, shared.submit(second).position) == (0, 1)
    assert shared.move(second.id, 0).position == 0
    assert shared.status().num_waiting == 2
    assert shared.cancel(first.id).state == "cancelled"
    assert not shared.resume().paused
    assert milestones(events_of(shared, second.id)) == ["queued", "started", "finished"]
    assert milestones(events_of(shared, first.id)) == ["queued", "cancelled"]


@pytest.mark.parametrize("position", [-1, "x", None, 1.5])
def test_positions_that_are_none(http: httpx.Client, position: object) -> None:
    assert http.post("/jobs/any/move", json={"position": position}).status_code == 422


def test_a_preview_can_be_had_while_it_works(shared: EngineClient) -> None:
    job = a_job("preview me")
    shared.submit(job)
    stream = shared.events(0)
    until(stream, lambda event: event.type == "preview" and event.job_id == job.id)
    stream.close()
    picture = shared.preview(job.id)
    assert picture is not None and picture[8:12] == b"WEBP"
    events_of(shared, job.id)


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with 200, and with nothing that an engine of this version would say."""

    def do_GET(self) -> None:
        kind = "text/event-stream" if self.path == "/events" else "text/html"
        body = b'data: {"type":"moved","seq":1}\n\n' if self.path == "/events" else b"<p>It works!</p>"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


def test_whoever_else_answers_is_told_from_an_engine() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = EngineClient(f"http://127.0.0.1:{server.server_port}", "token")
        for ask in (
            client.status,
            client.jobs,
            client.models,
            lambda: client.job("j1"),
            lambda: next(client.events(0)),
        ):
            with pytest.raises(EngineError, match=f"{server.server_port}/.*not as an engine of this version does"):
                ask()
        assert not client.healthy()
        client.close()
        server.shutdown()


def test_the_client_speaks_the_contracts_errors(shared: EngineClient) -> None:
    job = a_job("errors")
    shared.submit(job)
    with pytest.raises(Conflict, match=job.id):
        shared.submit(a_job("other errors", job_id=job.id))
    with pytest.raises(Rejected, match="nobody") as caught:
        shared.job("nobody")
    assert caught.value.code == "unknown_job"
    stranger = EngineClient(shared.url, "wrong")
    with pytest.raises(Rejected, match="token"):
        stranger.status()
    with pytest.raises(Rejected, match="token"):
        next(stranger.events(0))
    assert not stranger.healthy() and shared.healthy()
    stranger.close()
