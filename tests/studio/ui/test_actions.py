"""The table of actions: what each one takes, that requests are checked, and that handlers receive who asks."""

import inspect
from pathlib import Path
from typing import Annotated, get_type_hints

import gradio as gr
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from engine.contract.values import Value
from studio.document.edits import AddScene
from studio.services.identity import LOCAL_USER, Identity
from studio.studio import Studio
from studio.ui.actions import ACTIONS, PANELS, Action, Answer, EmptyRequest, dispatch, handled
from studio.ui.identity import Identify, identity_of
from studio.ui.panel import panel
from tests.studio.factories import Bench, benched


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_names_its_request_and_its_handler_receives_who_asks(name: str) -> None:
    action = ACTIONS[name]
    hints = get_type_hints(action.handler)
    kinds = [hints[parameter] for parameter in inspect.signature(action.handler).parameters]
    assert kinds == [Identity, Studio, action.request] and issubclass(action.request, Value)
    assert action.handler.__name__ == name


def test_every_action_is_offered_by_a_panel() -> None:
    assert {action for actions in PANELS.values() for action in actions} == set(ACTIONS)


def answer(bench: Bench, name: str, content: object) -> Answer:
    return dispatch(ACTIONS[name], LOCAL_USER, bench.studio, content)


def test_errors_that_are_meant_for_the_author_are_answers(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project().id
        assert answer(bench, "projects", {"project": ""})["ok"]
        for content in ({}, {"project": 7}, {"project": project, "more": 1}, None, []):
            assert "does not know" in answer(bench, "undo", content)["problem"]
        assert answer(bench, "undo", {"project": "none"})["ok"] is False
        add = AddScene(scene_id="a").model_dump(mode="json")
        refused = answer(bench, "edit", {"project": project, "revision": 1, "edit": add})
        assert refused["ok"] is False and "field" in refused
        late = {"project": project, "revision": 99, "edit": {**add, "scene_id": "z"}}
        assert answer(bench, "edit", late)["conflict"]["revision"] == 1


def user_of(connection: HTTPConnection) -> Identity:
    """A policy as a proxy with accounts would need it."""
    return Identity(connection.headers.get("x-user", "nobody"))


def test_the_policy_decides_who_asks_in_panels_and_routes(tmp_path: Path) -> None:
    who = handled(EmptyRequest, lambda identity, studio, request: {"user": identity.user})
    with benched(tmp_path) as bench, TestClient(app_with(bench.studio, {"who": who})) as client:
        headers = {"x-user": "ann"}
        assert client.get("/who", headers=headers).json() == "ann"
        parts = client.get("/config").json()["components"]
        (part,) = [part["id"] for part in parts if part["props"].get("elem_id") == "panel-test"]
        call = {"data": {}, "fn_name": "who", "component_id": part, "session_hash": "s"}
        answered = client.post("/gradio_api/component_server", json=call, headers=headers)
        assert answered.json() == {"ok": True, "user": "ann"}


def app_with(studio: Studio, actions: dict[str, Action]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(Identify, policy=user_of)

    @app.get("/who")
    def who(identity: Annotated[Identity, Depends(identity_of)]) -> str:
        return identity.user

    with gr.Blocks() as blocks:
        panel("test", actions, studio)
    return gr.mount_gradio_app(app, blocks, path="/")
