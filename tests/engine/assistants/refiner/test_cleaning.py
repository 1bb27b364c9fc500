"""Answers of models, as they come, made prompts."""

import pytest

from engine.assistants.refiner.cleaning import cleaned, quoted_in
from engine.contract.errors import AssistantFailed


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("A red boat drifts.", "A red boat drifts."),
        ('"A red boat drifts."', "A red boat drifts."),
        ("Here is the refined prompt:\n\nA red boat\ndrifts.", "A red boat drifts."),
        ("Sure! Caption: A red boat drifts.", "A red boat drifts."),
        ("**Refined Prompt:** A red boat drifts.", "A red boat drifts."),
        ("```text\nA red boat drifts.\n```\nI hope this helps!", "A red boat drifts."),
        ("<think>The user wants\na boat.</think>\nA red boat drifts.", "A red boat drifts."),
        ("<scene_draft>{}</scene_draft><final_prompt>A red boat drifts.</final_prompt>", "A red boat drifts."),
        ('```json\n{"prompt": "A red boat drifts."}\n```', "A red boat drifts."),
        ("- **The scene:** A red boat\n- drifts.", "A red boat drifts."),
        ("A caf\u00e9\u2019s red boat \u2014 it drifts\u2026 \U0001f6a4", "A cafe's red boat - it drifts..."),
        ("A boat: red, in a text about a prompt.", "A boat: red, in a text about a prompt."),
    ],
)
def test_only_the_prompt_is_left_of_an_answer(answer: str, text: str) -> None:
    assert cleaned(answer, "a boat", 100).text == text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "declined"),
        ("\u4e00\u8258\u7ea2\u8239\u5728\u6d77\u4e0a\u98d8\u8361", "not answer in English"),
        ("<think>what now", "no text"),
        ("...", "no text"),
        ('{"output": 1}', "holds no prompt"),
    ],
)
def test_an_answer_that_is_none_is_refused(answer: str, reason: str) -> None:
    with pytest.raises(AssistantFailed, match=reason):
        cleaned(answer, "a boat", 100)


def test_quoted_text_is_kept_in_its_own_script_and_added_where_it_is_missing() -> None:
    prompt = 'A sign says "\u51fa\u53e3", a door says \u201cEXIT\u201d.'
    assert quoted_in(prompt) == ["\u51fa\u53e3", "EXIT"]
    result = cleaned('A lit sign reads "\u51fa\u53e3" above a dark door.', prompt, 100)
    assert result.text == 'A lit sign reads "\u51fa\u53e3" above a dark door. The text "EXIT" can be read.'
    assert result.notes == ("Quoted text that the refiner left out was added at the end.",)


def test_a_long_answer_ends_with_a_whole_sentence() -> None:
    result = cleaned("One two three. Four five six seven. Eight nine", "", 8)
    assert result.text == "One two three. Four five six seven."
    assert cleaned("one, two, three", "", 2).text == "one, two."
