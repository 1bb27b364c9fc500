"""The laws of the page's scripts that hold without a browser."""

import re
from pathlib import Path

from studio.ui.page import STATIC
from tools.view_types import FILE, view_types

SCRIPTS = sorted(Path(STATIC).rglob("*.js"))


def test_the_types_of_the_view_are_those_of_its_schema() -> None:
    assert FILE.read_text() == view_types(), "run: python -m tools.view_types"


def test_no_sentence_of_the_studio_is_parsed_back_into_data() -> None:
    parsed = re.compile(r"(text|reason|summary)\.(split|startsWith|match|slice|indexOf)\(|parseFloat\(")
    found = [path.name for path in SCRIPTS if parsed.search(path.read_text())]
    # The words of the author are searched in the list of models, and `code` in a reason is set in another type.
    assert set(found) <= {"missing_model.js"}
