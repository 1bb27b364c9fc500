"""Responses of the engine's HTTP interface, as values and errors of the contract.

Comes in: httpx responses and exceptions. Goes out: parsed values, or ``EngineError``s. Does not know routes.
"""

import json
from typing import Literal, TypeVar, cast

import httpx
from pydantic import TypeAdapter, ValidationError

from engine.contract.errors import Conflict, EngineError, Rejected, Unreachable

T = TypeVar("T")


class Reaching:
    """Turns httpx's errors of connections into ``Unreachable``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> Literal[False]:
        if isinstance(error, httpx.TimeoutException):
            raise Unreachable(f"{self._url}: the engine did not answer in time. Is the machine overloaded?") from error
        if isinstance(error, (httpx.TransportError, httpx.InvalidURL)):
            reason = str(error) or type(error).__name__
            raise Unreachable(
                f"{self._url}: no engine answers ({reason}). Start one (storyboard engine), or check the address."
            ) from error
        return False


def read_answer(form: TypeAdapter[T], content: bytes | str, where: str) -> T:
    try:
        return form.validate_json(content)
    except ValidationError as error:
        reason = f"{error.error_count()} errors, the first: {error.errors()[0]['msg']}"
        hint = "Check the address, and that engine and studio are of one version"
        raise EngineError(
            f"{where}: answered, and not as an engine of this version does ({reason}). {hint}."
        ) from error


def checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise error_of(answer)


def error_of(answer: httpx.Response) -> EngineError:
    """The contract's error for a response that is an error ``{"code", "message"}``, or that no engine sends."""
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
