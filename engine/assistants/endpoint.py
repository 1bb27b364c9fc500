"""Chat completions over HTTP: any endpoint that speaks OpenAI's protocol (vLLM, SGLang, llama.cpp, a hosted service).

Comes in: an address, perhaps a key, messages of text, pictures and clips. Goes out: the text of the answer, or
``AssistantFailed`` that says what came instead. The key is never part of a message, a log line or a ``repr``. Does not
know what the messages are about.
"""

import base64
import contextlib
import json
import re
import socket
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from engine.contract.errors import AssistantFailed

MAX_ANSWER_BYTES = 4 * 2**20
MAX_RETRY_AFTER_S = 20.0
LONGEST_QUOTE = 160
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture or clip of a message. ``content_type``: image/jpeg, image/png, image/webp, video/mp4."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Message:
    """``role``: system, user or assistant. ``parts``: texts, pictures and clips in order."""

    role: str
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """None: not sent, since some gateways refuse keys that they do not know. ``extra``: further keys of the body."""

    max_tokens: int = 1024
    temperature: float | None = 0.7
    top_p: float | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """``url``: the base, such as ``http://127.0.0.1:8000/v1``. ``model`` "": the first that the endpoint lists.

    ``num_tries`` and ``backoff_s``: of answers that may be better the next time; each wait is twice the one before.
    """

    url: str
    model: str = ""
    key: SecretStr | None = None
    timeout_s: float = 300.0
    num_tries: int = 3
    backoff_s: float = 1.0


def base_url(url: str) -> str:
    """The base of an endpoint as its paths are appended to it. Raises ValueError for what is no usable address."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url}: not an address; write one such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise ValueError("a key in the address would be shown in logs; name an environment variable or file instead")
    if parts.query or parts.fragment:
        raise ValueError(f"{parts.scheme}://{parts.hostname}: the address must end with its path, without ? and #")
    path = re.sub(r"/chat/completions/?$", "", parts.path).rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


class ChatEndpoint:
    """One endpoint. Thread-safe. Connections are opened when the first question is asked."""

    def __init__(self, address: EndpointAddress) -> None:
        """Raises ValueError for an address that cannot be one."""
        self._address = address
        self.url = base_url(address.url)
        self._model = address.model
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        headers = {"Authorization": f"Bearer {address.key.get_secret_value()}"} if address.key else {}
        self._http = httpx.Client(
            headers={**headers, "Accept": "application/json", "User-Agent": "storyboard-studio"},
            timeout=httpx.Timeout(address.timeout_s, connect=10.0),
            trust_env=urlsplit(self.url).hostname not in _LOOPBACK,
        )

    @property
    def name(self) -> str:
        """The model, and where it is: ``qwen3 at example.org``."""
        host = urlsplit(self.url).netloc
        return f"{self._model} at {host}" if self._model else host

    def complete(self, messages: Sequence[Message], sampling: Sampling = Sampling()) -> str:
        """The text of the answer, never empty. Raises AssistantFailed."""
        body = {"model": self.model, "messages": [_as_json(message) for message in messages]}
        body |= {"max_tokens": sampling.max_tokens, **sampling.extra}
        optional = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
        body |= {key: value for key, value in optional.items() if value is not None}
        return self._text_of(self._send("POST", "/chat/completions", body))

    def close(self) -> None:
        """Ends questions under way, which may wait for minutes in other threads."""
        self._closed.set()
        for each in tuple(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._http.close()

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        """Of each connection that is made, so that ``close`` can end what waits on it."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets.add(info["return_value"].get_extra_info("socket"))

    @property
    def model(self) -> str:
        """The model of the address, else the first that the endpoint lists. Raises AssistantFailed."""
        with self._lock:
            if not self._model:
                self._model = self._first_model()
            return self._model

    def _first_model(self) -> str:
        listed = self._send("GET", "/models", None)
        try:
            model = cast(Any, listed)["data"][0]["id"]
        except (KeyError, IndexError, TypeError):
            model = None
        if not isinstance(model, str) or not model:
            raise self._failed("it lists no model. Name one: URL#MODEL")
        return model

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> object:
        """The JSON of the answer; asked again, after a wait, where the next answer may be a better one."""
        wait_s = self._address.backoff_s
        for num_left in reversed(range(self._address.num_tries)):
            try:
                return self._exchange(method, path, body)
            except _Transient as error:
                if num_left == 0 or self._closed.wait(min(error.wait_s or wait_s, MAX_RETRY_AFTER_S)):
                    raise self._failed(error.reason) from error.__cause__
                wait_s *= 2
        raise AssertionError("the loop above returns or raises")

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None) -> object:
        begun_s = time.monotonic()
        try:
            trace = {"trace": self._note_socket}
            with self._http.stream(method, f"{self.url}{path}", json=body, extensions=trace) as answer:
                content = self._read(answer, begun_s)
        except httpx.TimeoutException as error:
            raise self._slow() from error
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: closed meanwhile
            if self._closed.is_set():
                raise self._failed("the question was given up, since the studio is closing") from error
            raise _Transient(f"nothing answers there ({type(error).__name__}). Is it running?") from error
        if not answer.is_success:
            raise self._refusal(answer, content)
        return self._parsed(answer, content)

    def _read(self, answer: httpx.Response, begun_s: float) -> bytes:
        """The body, up to a limit in bytes and in seconds: a server may send forever."""
        content = bytearray()
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise self._failed(f"it sent more than {MAX_ANSWER_BYTES // 2**20} MB; that is no answer of a model")
            if time.monotonic() - begun_s > self._address.timeout_s:
                raise self._slow()
        return bytes(content)

    def _parsed(self, answer: httpx.Response, content: bytes) -> object:
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            kind = answer.headers.get("content-type", "").partition(";")[0]
            what = "a web page" if kind == "text/html" or content.lstrip()[:1] == b"<" else "something that is no JSON"
            raise self._failed(f"it sent {what}. Check the address: it usually ends in /v1") from None

    def _text_of(self, answer: object) -> str:
        try:
            choice = cast(Any, answer)["choices"][0]
            content, reason = choice["message"].get("content"), choice.get("finish_reason")
            refused = choice["message"].get("refusal")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise self._failed("it sent JSON of another shape than chat completions have. Check the address") from None
        if isinstance(content, list):  # some servers answer in parts
            parts = [cast(dict[str, Any], part) for part in cast(list[Any], content) if isinstance(part, dict)]
            content = "".join(str(part.get("text", "")) for part in parts)
        if isinstance(content, str) and content.strip():
            return content
        if refused or reason == "content_filter":
            raise self._failed(f"it refused to answer{_quoted(refused)}")
        hint = ": its limit of tokens was reached before the answer began" if reason == "length" else ""
        raise self._failed(f"its answer is empty{hint}")

    def _refusal(self, answer: httpx.Response, content: bytes) -> Exception:
        """What an answer that is no success means, in words; the endpoint's own message is quoted, shortened."""
        code, message = answer.status_code, _quoted(_message_in(content))
        if code in (401, 403):
            has = "the key is not accepted" if self._address.key else "it wants a key, and none is set"
            return self._failed(f"{has} (HTTP {code}){message}")
        if code == 404:
            model = f', and that it has the model "{self._model}"' if self._model else ""
            return self._failed(f"there is no such address or model (HTTP 404){message}. Check the address{model}")
        if code in _TRANSIENT:
            what = "it has too much to do" if code == 429 else "it failed"
            return _Transient(f"{what} (HTTP {code}){message}. Try again later", _retry_after_s(answer))
        if answer.is_redirect:
            return self._failed(f"it leads elsewhere (HTTP {code}). Write the address it leads to")
        return QuestionRefused(str(self._failed(f"it refused the question (HTTP {code}){message}")))

    def _slow(self) -> AssistantFailed:
        return self._failed(f"no answer within {self._address.timeout_s:g} s. Is it busy, or its model loading?")

    def _failed(self, reason: str) -> AssistantFailed:
        key = self._address.key.get_secret_value() if self._address.key else ""
        text = f"{self.url}: {reason.replace(key, '***') if key else reason}"
        return AssistantFailed(text if text.endswith((".", "?")) else f"{text}.")


class QuestionRefused(AssistantFailed):
    """The endpoint works, and takes no question of this form: a model without eyes is sent a picture, say."""


class _Transient(Exception):
    """May be better the next time. ``wait_s``: what the endpoint asks for; 0: nothing."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


def _as_json(message: Message) -> dict[str, Any]:
    """Text alone is sent as text: not every server takes parts."""
    if all(isinstance(part, str) for part in message.parts):
        return {"role": message.role, "content": "\n".join(cast(tuple[str, ...], message.parts))}
    return {"role": message.role, "content": [_part(part) for part in message.parts]}


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = "video_url" if part.content_type.startswith("video/") else "image_url"
    url = f"data:{part.content_type};base64,{base64.b64encode(part.content).decode()}"
    return {"type": kind, kind: {"url": url}}


def _message_in(content: bytes) -> str:
    """The message of an error's body, in the forms that servers have; "" where there is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    fields = cast(dict[str, Any], body) if isinstance(body, dict) else {}
    error: object = fields.get("error", fields.get("message", fields.get("detail", "")))
    if isinstance(error, dict):
        error = cast(dict[str, Any], error).get("message", "")
    return error if isinstance(error, str) else ""


def _quoted(text: object) -> str:
    """`: "..."`, on one line and shortened; "" for no text."""
    line = " ".join(text.split()) if isinstance(text, str) else ""
    if not line:
        return ""
    return f': "{line[:LONGEST_QUOTE]}{"..." if len(line) > LONGEST_QUOTE else ""}"'


def _retry_after_s(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
