"""The chat client against a real server: what is sent, what each wrong answer is called, and that keys stay secret."""

import threading

import pytest
from pydantic import SecretStr

from engine.assistants.endpoint import ChatEndpoint, EndpointAddress, Message, Picture, Sampling, base_url
from engine.contract.errors import AssistantFailed
from tests.engine.factories import wait_until
from tests.fake_endpoint import MODEL, FakeEndpoint, Fault, media_of, texts_of

QUESTION = [Message("system", ("Be brief.",)), Message("user", ("What is this?", Picture(b"\x89PNG", "image/png")))]


def client(server: FakeEndpoint, key: str = "", timeout_s: float = 5.0, num_tries: int = 2) -> ChatEndpoint:
    secret = SecretStr(key) if key else None
    return ChatEndpoint(EndpointAddress(server.url, "", secret, timeout_s, num_tries, backoff_s=0.01))


def failure(endpoint: ChatEndpoint) -> str:
    with pytest.raises(AssistantFailed) as error:
        endpoint.complete(QUESTION)
    return str(error.value)


def test_a_question_with_a_picture_is_answered_by_the_model_that_the_endpoint_lists(
    fake_endpoint: FakeEndpoint,
) -> None:
    endpoint = client(fake_endpoint)
    assert endpoint.complete(QUESTION, Sampling(max_tokens=9, temperature=None)) == "An answer."
    (body,) = fake_endpoint.asked
    assert body["model"] == MODEL and body["max_tokens"] == 9 and "temperature" not in body
    assert texts_of(body) == "Be brief.\nWhat is this?"
    assert media_of(body) == ["data:image/png;base64,iVBORw=="]
    assert endpoint.name.startswith(f"{MODEL} at 127.0.0.1:")


@pytest.mark.parametrize(
    ("fault", "text", "num_asked"),
    [
        ("html", "a web page", 1),
        ("rubbish", "no JSON", 1),
        ("shape", "another shape", 1),
        ("large", "more than 4 MB", 1),
        ("empty", "is empty", 1),
        ("refusal", 'refused to answer: "I cannot help', 1),
        ("busy", "too much to do (HTTP 429)", 2),
        ("broken", 'failed (HTTP 500): "CUDA out of memory."', 2),
        ("missing", "no such address or model (HTTP 404)", 1),
        ("moved", "leads elsewhere (HTTP 308)", 1),
    ],
)
def test_every_wrong_answer_is_called_what_it_is(
    fake_endpoint: FakeEndpoint, fault: Fault, text: str, num_asked: int
) -> None:
    fake_endpoint.reset(fault=fault)
    message = failure(client(fake_endpoint))
    assert message.startswith(f"{fake_endpoint.url}: ") and text in message
    assert len(fake_endpoint.asked) == num_asked


def test_an_answer_that_is_better_the_next_time_is_used(fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset(fault="busy", faults_left=1)
    assert client(fake_endpoint).complete(QUESTION) == "An answer."


def test_an_endpoint_that_is_slow_or_down_does_not_hold_the_caller(fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset(fault="slow")
    assert "no answer within 0.1 s" in failure(client(fake_endpoint, timeout_s=0.1))
    fake_endpoint.go_on.set()
    down = ChatEndpoint(EndpointAddress("http://127.0.0.1:9/v1", "m", num_tries=2, backoff_s=0.01))
    assert "nothing answers there" in failure(down)


def test_closing_ends_a_question_that_waits(fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset(fault="slow")
    endpoint, failures = client(fake_endpoint, timeout_s=300), list[str]()
    asking = threading.Thread(target=lambda: failures.append(failure(endpoint)), daemon=True)
    asking.start()
    wait_until(lambda: bool(fake_endpoint.asked), "the question")
    endpoint.close()
    asking.join(10)
    assert len(failures) == 1 and "given up" in failures[0]
    fake_endpoint.go_on.set()


def test_a_key_is_sent_and_never_shown(fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset(key="sk-right")
    assert "it wants a key, and none is set (HTTP 401)" in failure(client(fake_endpoint))
    wrong = client(fake_endpoint, "sk-wrong")
    message = failure(wrong)
    assert "the key is not accepted (HTTP 401)" in message
    assert "sk-wrong" not in message + repr(wrong) + repr(EndpointAddress("http://a", key=SecretStr("sk-wrong")))
    assert client(fake_endpoint, "sk-right").complete(QUESTION) == "An answer."


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("https://example.org/openai/v1/", "https://example.org/openai/v1"),
        ("https://example.org/v1/chat/completions", "https://example.org/v1"),
    ],
)
def test_an_address_is_written_in_any_usual_form(url: str, base: str) -> None:
    assert base_url(url) == base


@pytest.mark.parametrize("url", ["ftp://a/v1", "http://", "http://user:secret@host/v1", "http://host/v1?key=secret"])
def test_an_address_that_cannot_be_one_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ValueError) as error:
        base_url(url)
    assert "secret" not in str(error.value)
