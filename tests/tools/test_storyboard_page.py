"""The page of a storyboard's keys is what its tool writes, and says something of every key."""

from studio.document.storyboard import Storyboard
from tools.storyboard_page import FILE, meanings, models, page


def test_the_page_is_current() -> None:
    assert FILE.read_text() == page(), "run: python -m tools.storyboard_page"


def test_every_key_has_a_meaning() -> None:
    missing = [
        f"{model.__name__}.{key}"
        for model in models(Storyboard)
        for key in model.model_fields
        if key not in meanings(model)
    ]
    assert not missing, f"no docstring after the field: {missing}"
