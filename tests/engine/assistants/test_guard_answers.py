"""What guards answer, and what it means: a table, with the answers that are none."""

from collections.abc import Callable

import pytest

from engine.assistants.guard_answers import aegis_verdict, frames_verdict, llama_guard_verdict, qwen_verdict
from engine.contract.assistants import Verdict
from engine.contract.errors import AssistantFailed

Read = Callable[[str, str], Verdict]


@pytest.mark.parametrize(
    ("read", "text", "safe", "categories"),
    [
        (qwen_verdict, "Safety: Safe\nCategories: None", True, []),
        (qwen_verdict, "Safety: Unsafe\nCategories: Violent, Jailbreak", False, ["Violent", "Jailbreak"]),
        (qwen_verdict, "**Safety:** unsafe\n**Categories:** Violent.", False, ["Violent"]),
        (qwen_verdict, "Safety: Controversial\nCategories: Unethical Acts", True, ["Unethical Acts"]),
        (qwen_verdict, "Safety: Unsafe", False, ["other"]),
        (llama_guard_verdict, "\n\nsafe", True, []),
        (llama_guard_verdict, "unsafe\nS1,S10", False, ["Violent Crimes", "Hate"]),
        (llama_guard_verdict, "unsafe\ns14", False, ["Code Interpreter Abuse"]),
        (llama_guard_verdict, "unsafe", False, ["other"]),
        (llama_guard_verdict, "safe or unsafe", False, ["other"]),
        (aegis_verdict, "safe", True, []),
        (aegis_verdict, "unsafe\nO3, O10", False, ["Criminal Planning", "Harassment"]),
        (aegis_verdict, "unsafe\nO12", False, ["Profanity"]),
        (aegis_verdict, "unsafe\nO9", False, ["O9"]),
    ],
)
def test_verdicts(read: Read, text: str, safe: bool, categories: list[str]) -> None:
    verdict = read(text, "the guard")
    assert (verdict.safe, [finding.category for finding in verdict.findings]) == (safe, categories)
    assert verdict.source == "the guard"


@pytest.mark.parametrize("read", [qwen_verdict, llama_guard_verdict, aegis_verdict])
@pytest.mark.parametrize("text", ["", "I cannot help with that.", "Safety is unsafely measured: none", "unsafely"])
def test_what_has_no_label_is_no_verdict(read: Read, text: str) -> None:
    with pytest.raises(AssistantFailed, match="the guard: gave no verdict"):
        read(text, "the guard")


def test_frames() -> None:
    assert frames_verdict([(0, 0), (8, 0)], "siglip").safe
    found = frames_verdict([(0, 0), (8, 3), (16, 3), (24, 1)], "siglip")
    seen = [(each.category, each.frame, each.detail) for each in found.findings]
    assert seen == [("Drugs", 8, "seen in 2 of 4 frames"), ("Sexual Content", 24, "seen in 1 of 4 frames")]
    assert not found.safe
    with pytest.raises(AssistantFailed, match="no frame"):
        frames_verdict([], "siglip")
