"""The engine as a Python object: one method per route of its HTTP interface.

Comes in: an address and a token. Goes out: values or errors of the contract. Thread-safe. Does not know how the engine
works, where its workspace is, or who asks.
"""

import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import httpx
from pydantic import TypeAdapter, ValidationError

from engine.contract.cards import ModelStatus
from engine.contract.errors import Conflict, EngineError, Rejected, Unreachable
from engine.contract.events import EVENT, Event
from engine.contract.jobs import Job
from engine.contract.media import file_sha256
from engine.contract.status import EngineStatus, JobStatus
from engine.contract.values import Sha256

ANSWER_TIMEOUT_S = 60.0
SILENCE_TIMEOUT_S = 45.0
"""Longest silence of the event stream, keep-alive comments included, before it is opened again."""
RETRY_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Waits between attempts to reach the event stream; the last one repeats."""

_JOB, _JOBS = TypeAdapter(JobStatus), TypeAdapter(list[JobStatus])
_MODELS, _STATUS = TypeAdapter(list[ModelStatus]), TypeAdapter(EngineStatus)
T = TypeVar("T")
_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
"""The connection ended under a call. All calls may be repeated: they say what shall be, not what to add."""


class EngineClient:
    """Talks to one engine. Every method raises ``Unreachable`` where none answers, or another ``EngineError``."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._http = self._connections()
        self._streams: set[EventStream] = set()

    def submit(self, job: Job) -> JobStatus:
        """Puts a job at the end of the queue. The same job again is answered with how it stands.

        Raises Conflict where the id is taken by a job with another body.
        """
        return self._call(_JOB, "POST", "/jobs", json_body=job.model_dump_json())

    def jobs(self) -> list[JobStatus]:
        """The running job, the waiting ones in order, then the ended ones, newest first."""
        return self._call(_JOBS, "GET", "/jobs")

    def job(self, job_id: str) -> JobStatus:
        """Raises Rejected("unknown_job") where there is none of this id."""
        return self._call(_JOB, "GET", f"/jobs/{job_id}")

    def cancel(self, job_id: str) -> JobStatus:
        """A waiting job is cancelled at once; a running one at its next step edge (JobCancelled follows)."""
        return self._call(_JOB, "DELETE", f"/jobs/{job_id}")

    def move(self, job_id: str, position: int) -> JobStatus:
        """Moves a waiting job to a place in the queue (0: the next to run; beyond the end: the last)."""
        body = json.dumps({"position": position})
        return self._call(_JOB, "POST", f"/jobs/{job_id}/move", json_body=body)

    def pause(self) -> EngineStatus:
        """Holds the queue, and the running job at its next step edge."""
        return self._call(_STATUS, "POST", "/pause")

    def resume(self) -> EngineStatus:
        return self._call(_STATUS, "POST", "/resume")

    def events(self, after: int) -> "EventStream":
        """All events with ``seq`` above ``after``, as they happen, until ``close()`` of the stream or the client."""
        stream = EventStream(self._connections(), after, self._streams.discard)
        self._streams.add(stream)
        return stream

    def put_media(self, path: Path) -> Sha256:
        """Stores a picture or clip at the engine. Raises Rejected("conditioning") where it is neither."""
        sha256 = file_sha256(path)
        if self._send("HEAD", f"/media/{sha256}").status_code != 200:
            _checked(self._send("PUT", f"/media/{sha256}", upload=path))
        return sha256

    def fetch_media(self, sha256: str, to: Path) -> None:
        """Writes a stored file to ``to``, whole or not at all. Raises Rejected("unknown_media") if it is not there."""
        draft = to.with_name(f"{to.name}.{secrets.token_hex(4)}.tmp")
        try:
            with self._reaching(), self._http.stream("GET", f"/media/{sha256}") as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _error(answer)
                with draft.open("xb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
            if file_sha256(draft) != sha256:
                raise Rejected("media", f"{self.url}: sent other content than {sha256}. Fetch it again.")
            draft.replace(to)
        finally:
            draft.unlink(missing_ok=True)

    def preview(self, job_id: str) -> bytes | None:
        """The newest preview of a job, an animated WebP; None where there is none yet."""
        answer = self._send("GET", f"/jobs/{job_id}/preview")
        if answer.status_code == 404:
            return None
        return _checked(answer).content

    def models(self) -> list[ModelStatus]:
        """All model cards of the engine. The first call may take long: big weights are hashed once."""
        return self._call(_MODELS, "GET", "/models", timeout_s=3600.0)

    def status(self) -> EngineStatus:
        return self._call(_STATUS, "GET", "/status")

    def healthy(self) -> bool:
        """Whether an engine that knows this token answers."""
        try:
            self._call(_STATUS, "GET", "/status", timeout_s=5.0)
        except EngineError:
            return False
        return True

    def close(self) -> None:
        """Ends all event streams and connections."""
        for stream in tuple(self._streams):
            stream.close()
        self._http.close()

    def _connections(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=5.0),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            trust_env=False,
            verify=self._tls,
        )

    def _reaching(self) -> "_Reaching":
        return _Reaching(self.url)

    def _call(self, form: TypeAdapter[T], method: str, path: str, **options: Any) -> T:
        answer = _checked(self._send(method, path, **options))
        return _read(form, answer.content, str(answer.request.url))

    def _send(
        self,
        method: str,
        path: str,
        json_body: str | None = None,
        upload: Path | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> httpx.Response:
        """One call, repeated once where a kept connection turned out to be dead (as after a restart of the engine)."""
        timeout = httpx.Timeout(timeout_s, connect=5.0)
        headers = {"Content-Type": "application/json"} if json_body is not None else {}
        with self._reaching():
            for last in (False, True):
                content = json_body if upload is None else _file_chunks(upload)
                try:
                    return self._http.request(method, path, content=content, headers=headers, timeout=timeout)
                except _LOST:
                    if last:
                        raise
        raise AssertionError("the loop above returns or raises")


class EventStream(Iterator[Event]):
    """Events in order, each once; reconnects by itself with ``Last-Event-ID`` until closed, from any thread.

    Raises Rejected where the token is refused, EngineError where events of another version come; an engine that does
    not answer is waited for.

    ``http`` is the stream's own. An iteration that is left midway ends when the garbage collector comes to it, which
    may be amid another call of the same thread; were that call's connections the same, it would wait for itself.
    """

    def __init__(self, http: httpx.Client, after: int, on_close: "Callable[[EventStream], None]") -> None:
        self.last_seq = after
        self._http = http
        self._on_close = on_close
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._events = self._follow()

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Ends the iteration, also while another thread waits in it."""
        self._closed.set()
        self._on_close(self)
        sock = self._socket
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _follow(self) -> Iterator[Event]:
        failures = 0
        with self._http:
            while not self._closed.is_set():
                try:
                    for event in self._once():
                        failures = 0
                        yield event
                except (httpx.TransportError, httpx.StreamError, OSError):
                    if self._closed.is_set():
                        return
                failures += 1
                self._closed.wait(RETRY_S[min(failures, len(RETRY_S)) - 1])

    def _once(self) -> Iterator[Event]:
        """The events of one connection."""
        timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=5.0)
        headers = {"Last-Event-ID": str(self.last_seq), "Accept": "text/event-stream"}
        with self._http.stream("GET", "/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != 200:
                answer.read()
                self._refused(answer)
                return
            self._socket = answer.extensions["network_stream"].get_extra_info("socket")
            try:
                if self._closed.is_set():  # closed before there was a socket to shut
                    return
                for data in _sse_data(answer.iter_lines()):
                    if self._closed.is_set():
                        return
                    event = _read(EVENT, data, str(answer.request.url))
                    if event.seq > self.last_seq:
                        self.last_seq = event.seq
                        yield event
            finally:
                self._socket = None

    def _refused(self, answer: httpx.Response) -> None:
        error = _error(answer)
        if isinstance(error, Rejected) and error.code == "cursor":
            self.last_seq = 0  # the engine's history is younger than ours: it began anew
        elif answer.status_code < 500:
            raise error


def _sse_data(lines: Iterator[str]) -> Iterator[str]:
    """The ``data`` of each server-sent event (WHATWG HTML, section 9.2); comments and other fields are left out."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line == "" and data:
            yield "\n".join(data)
            data.clear()


class _Reaching:
    """Turns what httpx says of connections into ``Unreachable``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> Literal[False]:
        if isinstance(error, httpx.TimeoutException):
            raise Unreachable(f"{self._url}: the engine did not answer in time. Is the machine overloaded?") from error
        if isinstance(error, (httpx.TransportError, httpx.InvalidURL)):
            why = str(error) or type(error).__name__
            raise Unreachable(
                f"{self._url}: no engine answers ({why}). Start one (storyboard engine), or check the address."
            ) from error
        return False


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 18):
            yield chunk


def _read(form: TypeAdapter[T], content: bytes | str, where: str) -> T:
    try:
        return form.validate_json(content)
    except ValidationError as error:
        why = f"{error.error_count()} errors, the first: {error.errors()[0]['msg']}"
        hint = "Check the address, and that engine and studio are of one version"
        raise EngineError(f"{where}: answered, and not as an engine of this version does ({why}). {hint}.") from error


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise _error(answer)


def _error(answer: httpx.Response) -> EngineError:
    """The contract's error for an answer that is none of ours or an error ``{"code", "message"}``."""
    try:
        body = cast("dict[str, object]", json.loads(answer.content))
        code, message = str(body["code"]), str(body["message"])
    except (ValueError, KeyError, TypeError):
        what = f"{answer.request.url}: answered {answer.status_code}, and not as an engine does. Check the address."
        return EngineError(what)
    if answer.status_code == 409 and code == "conflict":
        return Conflict(message)
    if answer.status_code >= 500:
        return EngineError(message)
    return Rejected(code, message)
