"""The engine as a Python object: one method per route of its HTTP interface.

Comes in: an address and a token. Goes out: values or errors of the contract. Thread-safe. Does not know how the engine
works, where its workspace is, or who asks.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter

from engine.client.answers import Reaching, checked, error_of, read_answer
from engine.client.event_stream import EventStream
from engine.contract.assistant_cards import AssistantStatus
from engine.contract.assistants import AssistantJob
from engine.contract.cards import ModelStatus
from engine.contract.errors import EngineError, Rejected
from engine.contract.jobs import Job
from engine.contract.status import AssistantJobStatus, EngineStatus, JobStatus
from engine.contract.values import Sha256
from engine.storage.atomic import open_replacing
from engine.storage.media import file_sha256

ANSWER_TIMEOUT_S = 60.0

_JOB, _JOBS = TypeAdapter(JobStatus), TypeAdapter(list[JobStatus])
_ASSISTANT_JOB = TypeAdapter(AssistantJobStatus)
_ASSISTANTS = TypeAdapter(list[AssistantStatus])
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
        """Puts a job at the end of the queue. The same job again returns its state.

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

    def ask(self, job: AssistantJob) -> AssistantJobStatus:
        """Asks an assistant that the engine runs; its answer comes as the event ``Answered``. Before all waiting films,
        a critique behind them.

        Raises Conflict as ``submit``, and Rejected("not_found") where an older engine knows no assistants.
        """
        return self._call(_ASSISTANT_JOB, "POST", "/assistants/jobs", json_body=job.model_dump_json())

    def assistant_job(self, job_id: str) -> AssistantJobStatus:
        """With the answer, once it is there. Raises Rejected("unknown_job")."""
        return self._call(_ASSISTANT_JOB, "GET", f"/assistants/jobs/{job_id}")

    def cancel_assistant_job(self, job_id: str) -> AssistantJobStatus:
        """As ``cancel``; a model that writes stops before its next token."""
        return self._call(_ASSISTANT_JOB, "DELETE", f"/assistants/jobs/{job_id}")

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
            checked(self._send("PUT", f"/media/{sha256}", upload=path))
        return sha256

    def fetch_media(self, sha256: str, to: Path) -> None:
        """Writes a stored file to ``to``, whole or not at all. Raises Rejected("unknown_media") if it is not there."""
        digest = hashlib.sha256()
        with self._reaching(), self._http.stream("GET", f"/media/{sha256}") as answer:
            if answer.status_code != 200:
                answer.read()
                raise error_of(answer)
            with open_replacing(to) as file:
                for chunk in answer.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
                if digest.hexdigest() != sha256:
                    raise Rejected("media", f"{self.url}: sent other content than {sha256}. Fetch it again.")

    def preview(self, job_id: str) -> bytes | None:
        """The newest preview of a job, an animated WebP; None where there is none yet."""
        answer = self._send("GET", f"/jobs/{job_id}/preview")
        if answer.status_code == 404:
            return None
        return checked(answer).content

    def models(self) -> list[ModelStatus]:
        """All model cards of the engine. The first call may take long: big weights are hashed once."""
        return self._call(_MODELS, "GET", "/models", timeout_s=3600.0)

    def assistants(self) -> list[AssistantStatus]:
        """All assistants' cards of the engine, as ``models``."""
        return self._call(_ASSISTANTS, "GET", "/assistants", timeout_s=3600.0)

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

    def _reaching(self) -> "Reaching":
        return Reaching(self.url)

    def _call(self, form: TypeAdapter[T], method: str, path: str, **options: Any) -> T:
        answer = checked(self._send(method, path, **options))
        return read_answer(form, answer.content, str(answer.request.url))

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


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 18):
            yield chunk
