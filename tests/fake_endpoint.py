"""A small chat-completions server that speaks the real protocol over real sockets, well or badly as a test asks.

Comes in: HTTP requests of any client. Goes out: ``/v1/models`` and ``/v1/chat/completions`` as vLLM answers them, or
one of the faults of ``Fault``. ``ANSWER``: what the model would write, a text or a function of the request's body. Does
not know what is asked. One server serves a whole test session; ``reset`` between tests.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal[
    "", "html", "rubbish", "shape", "large", "empty", "refusal", "busy", "broken", "missing", "slow", "moved", "blind"
]
Script = Callable[[dict[str, Any]], str]

MODEL = "tiny-chat"


class FakeEndpoint:
    """``fault``: what is wrong with answers (blind: it takes no pictures), ``faults_left``: of how many, -1 for all.
    ``key``: what it wants.

    ``asked``: the bodies of all chat requests, in order; ``num_requests`` counts refused ones too.
    """

    def __init__(self) -> None:
        self.reset()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"endpoint": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def reset(
        self, answer: str | Script = "An answer.", fault: Fault = "", faults_left: int = -1, key: str = ""
    ) -> None:
        self.answer, self.fault, self.faults_left, self.key = answer, fault, faults_left, key
        self.models: tuple[str, ...] = (MODEL,)
        self.asked: list[dict[str, Any]] = []
        self.num_requests = 0
        self.go_on = threading.Event()
        """What a slow answer waits for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def next_fault(self) -> Fault:
        if self.faults_left == 0:
            return ""
        self.faults_left -= 1
        return self.fault


def texts_of(body: dict[str, Any]) -> str:
    """All texts of a request, system prompt included."""
    contents = [message["content"] for message in body["messages"]]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    texts = [part if isinstance(part, str) else part.get("text", "") for part in parts]
    return "\n".join(filter(None, texts))


def media_of(body: dict[str, Any]) -> list[str]:
    """The data URLs of a request's pictures and clips."""
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    return [part[part["type"]]["url"] for content in contents for part in content if part["type"] != "text"]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may leave at any time."""


class _Handler(BaseHTTPRequestHandler):
    endpoint: FakeEndpoint
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        if self._accepted():
            self._json(
                200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.endpoint.models]}
            )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._accepted():
            return
        if not self.path.endswith("/chat/completions") or body["model"] not in self.endpoint.models:
            return self._error(404, f"The model `{body['model']}` does not exist.")
        self.endpoint.asked.append(body)
        self._answer(body, self.endpoint.next_fault())

    def _accepted(self) -> bool:
        self.endpoint.num_requests += 1
        if self.endpoint.key and self.headers["Authorization"] != f"Bearer {self.endpoint.key}":
            self._error(401, "Invalid API key provided.")
            return False
        return True

    def _answer(self, body: dict[str, Any], fault: Fault) -> None:
        match fault:
            case "html":
                self._send(200, b"<!doctype html><title>Welcome</title>", "text/html; charset=utf-8")
            case "rubbish":
                self._send(200, b"\xff\xfenothing", "application/json")
            case "shape":
                self._json(200, {"output": ["text"]})
            case "large":
                self._send(200, b'{"choices": "' + b"x" * 10_000_000 + b'"}', "application/json")
            case "empty":
                self._completion("  ")
            case "refusal":
                self._completion(None, refusal="I cannot help with that.")
            case "busy":
                self._error(429, "Rate limit reached.")
            case "broken":
                self._error(500, "CUDA out of memory.")
            case "blind" if media_of(body):
                self._error(400, "This model has no image input.")
            case "missing":
                self._error(404, "Not Found")
            case "moved":
                self._send(308, b"", "text/plain", Location="/elsewhere")
            case "slow":
                self.endpoint.go_on.wait(30)
                self._completion("late")
            case _:
                answer = self.endpoint.answer
                self._completion(answer if isinstance(answer, str) else answer(body))

    def _completion(self, content: str | None, refusal: str | None = None) -> None:
        message = {"role": "assistant", "content": content, "refusal": refusal}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._json(200, {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "choices": [choice]})

    def _error(self, code: int, message: str) -> None:
        self._json(code, {"error": {"message": message, "type": "invalid_request_error", "code": code}})

    def _json(self, code: int, body: object) -> None:
        self._send(code, json.dumps(body).encode(), "application/json")

    def _send(self, code: int, content: bytes, content_type: str, **headers: str) -> None:
        try:
            self.send_response(code)
            for name, value in {"Content-Type": content_type, "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client has left, as one does that is sent too much
            self.close_connection = True
