"""The page's own routes, and who is let in; no browser needed."""

import copy
import http.client
import io

import httpx
import pytest
from PIL import Image

from studio.document.storyboard import Scene
from studio.ui.stream import difference
from tests.studio.ui.conftest import ServedStudio, wait_for


@pytest.fixture
def film(served: ServedStudio) -> tuple[str, str]:
    """A project with a rendered film: its id, and the film's hash."""
    project = served.project(Scene(id="a", prompt="a red ball", duration_s=2.0))
    served.studio.rendering.render(project)
    wait_for(lambda: served.studio.views.board(project).film.up_to_date)
    media = served.studio.views.board(project).film.media
    assert media
    return project, media


def test_media_are_served_whole_and_in_ranges(web: httpx.Client, film: tuple[str, str]) -> None:
    project, media = film
    whole = web.get(f"/media/{project}/{media}")
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = web.get(f"/media/{project}/{media}", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    assert part.headers["content-range"] == f"bytes 4-7/{len(whole.content)}"
    beyond = web.get(f"/media/{project}/{media}", headers={"Range": f"bytes={len(whole.content) + 5}-"})
    assert beyond.status_code == 416
    named = web.get(f"/media/{project}/{media}", params={"download": "../My film.mp4"})
    assert (
        "My%20film.mp4" in named.headers["content-disposition"] or "My film.mp4" in named.headers["content-disposition"]
    )
    assert "/" not in named.headers["content-disposition"].split("filename")[-1]


def test_a_project_shows_its_own_files_only(served: ServedStudio, web: httpx.Client, film: tuple[str, str]) -> None:
    project, media = film
    other = served.project(Scene(id="a", prompt="another"))
    assert web.get(f"/media/{other}/{media}").status_code == 404
    assert web.get(f"/media/no-such-project/{media}").status_code == 404
    assert web.get(f"/media/{project}/{'0' * 64}").status_code == 404
    assert web.get(f"/media/{project}/..%2f..%2fstudio.db").status_code == 404
    job = served.engine.submitted[-1].id
    assert web.get(f"/preview/{other}/{job}").status_code == 404
    served.studio.projects.delete(project)
    assert web.get(f"/media/{project}/{media}").status_code == 404


def test_a_picture_goes_in_and_comes_out(served: ServedStudio, web: httpx.Client) -> None:
    project = served.project(Scene(id="a", prompt="a"))
    data = io.BytesIO()
    Image.new("RGBA", (33, 21), (10, 200, 30, 128)).save(data, "PNG")
    answer = web.post(f"/media/{project}", files={"file": ("My Picture.PNG", data.getvalue())}).json()
    assert answer["ok"] and answer["media"]["kind"] == "image"
    assert web.get(f"/media/{project}/{answer['media']['sha256']}").content == data.getvalue()


def test_a_storyboard_goes_out_and_comes_in(served: ServedStudio, web: httpx.Client) -> None:
    project = served.project(Scene(id="a", prompt="a ball: red\n- and 'blue'"), title="Über")
    text = web.get(f"/storyboard/{project}")
    assert text.headers["content-disposition"].startswith("attachment")
    answer = web.post("/projects/import", files={"file": ("mine.yaml", text.content)}).json()
    assert answer["ok"] and served.prompts(answer["projects"][0]) == ["a ball: red\n- and 'blue'"]
    wrong = web.post("/projects/import", files={"file": ("mine.yaml", b"schema: storyboard/1\nscenes: [{promt: x}]")})
    assert wrong.status_code == 422
    assert "did you mean prompt" in wrong.json()["problem"]


@pytest.mark.parametrize("path", ["/media/x", "/projects/import", "/gradio_api/component_server/"])
def test_another_site_may_not_press_our_buttons(web: httpx.Client, path: str) -> None:
    assert web.post(path, json={}, headers={"Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/config", "/board/x/events"])
def test_another_name_for_this_machine_is_not_answered(web: httpx.Client, path: str) -> None:
    assert web.get(path, headers={"Host": "evil.example:7860"}).status_code == 421


def test_too_large_an_upload_is_refused_before_it_is_read(served: ServedStudio) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.putrequest("POST", "/media/x")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    refused = connection.getresponse()
    assert refused.status == 413
    assert b"larger than" in refused.read()
    connection.close()


def test_gradio_offers_no_function_as_an_api_and_no_files(web: httpx.Client, film: tuple[str, str]) -> None:
    offered = web.get("/gradio_api/info").json()
    assert offered["named_endpoints"] == {} and offered["unnamed_endpoints"] == {}
    config = web.get("/config").json()
    assert config["dependencies"] == []


def test_the_stream_begins_with_the_whole_board(served: ServedStudio, web: httpx.Client) -> None:
    project = served.project(Scene(id="a", prompt="a"))
    with web.stream("GET", f"/board/{project}/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: board"
        assert f'"project_id":"{project}"' in next(lines)
    with web.stream("GET", "/board/nowhere/events") as answer:
        assert next(answer.iter_lines()) == "event: gone"


def patched(board: dict, patch: dict) -> dict:
    """What the script does with a patch."""
    cards = {card["id"]: card for card in (*board["scenes"], *patch["scenes"])}
    return {**board, **patch["changed"], "scenes": [cards[name] for name in patch["order"]]}


BEFORE = {"version": 1, "title": "T", "scenes": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]}


@pytest.mark.parametrize(
    ("scenes", "told"),
    [
        ([{"id": "a", "n": 1}, {"id": "b", "n": 2}], 0),
        ([{"id": "b", "n": 2}, {"id": "a", "n": 1}], 0),
        ([{"id": "a", "n": 1}, {"id": "b", "n": 3}], 1),
        ([{"id": "b", "n": 2}], 0),
        ([{"id": "c", "n": 5}, {"id": "a", "n": 1}, {"id": "b", "n": 2}], 1),
        ([], 0),
    ],
)
def test_a_patch_makes_the_one_board_the_other(scenes: list[dict], told: int) -> None:
    after = {"version": 2, "title": "T", "scenes": scenes}
    patch = difference(copy.deepcopy(BEFORE), after)
    assert patched(BEFORE, patch) == after
    assert len(patch["scenes"]) == told
    assert patch["changed"] == {"version": 2}
