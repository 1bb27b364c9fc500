"""The block list: what it finds, what it lets pass, and that the project's own prompts pass. Needs no model."""

import re
from pathlib import Path

import pytest
import yaml

from engine.assistants.blocklist import BlockList
from engine.contract.errors import AssistantFailed
from engine.storage.card_files import read_cards

ROOT = Path(__file__).parents[3]
SHIPPED = BlockList([ROOT / "assets" / "guard"])
VIOLENCE, MINORS, HATE, SELF_HARM = "violence against persons", "sexual content with minors", "hate", "self harm"

REFUSED = {
    "A man is BEHEADED in the square": (VIOLENCE, '"BEHEADED"'),
    "the king is b3headed at dawn": (VIOLENCE, '"b3headed"'),
    "the king is bеheaded": (VIOLENCE, '"bеheaded"'),  # a Cyrillic letter
    "ｂｅｈｅａｄ him": (VIOLENCE, '"ｂｅｈｅａｄ"'),
    "be\u200bheaded": (VIOLENCE, '"beheaded"'),
    "dismembred bodies": (VIOLENCE, '"dismembred"'),
    "he is stabbing her to death": (VIOLENCE, '"stabbing her to death"'),
    "a soldier kills the children": (VIOLENCE, '"kills the children"'),
    "une tête DÉCAPITÉE": (VIOLENCE, '"DÉCAPITÉE"'),
    "一个人被斩首": (VIOLENCE, '"斩首"'),
    "обезглавленный король": (VIOLENCE, '"обезглавленный"'),
    "a nude child on a beach": (MINORS, '"child" with "nude"'),
    "彼は児童ポルノを": (MINORS, '"児童ポルノ"'),
    "a neo-Nazi rally": (HATE, '"Nazi rally"'),
    "s u i c i d e method, step by step": (SELF_HARM, '"suicide method"'),
    "she cuts her wrists": (SELF_HARM, '"cuts her wrists"'),
}
PASSED = (
    "a shooting star over the hills, a killer whale below",
    "a woman kills the lights; time to kill, dressed to kill",
    "a torture test of a phone",
    "with the naked eye a child sees a kite",
    "a man shoots a photo of a woman, a boy shoots an arrow",
    "knights clash in a battle, a dragon burns the village",
    "a head of state speaks; a butcher cuts meat",
    "a suicide squad of superheroes",
    "",
    "猫が雪の中を歩く",
)


@pytest.mark.parametrize("text", REFUSED)
def test_names_the_word_as_it_was_written_and_its_category(text: str) -> None:
    verdict = SHIPPED.check(text)
    assert not verdict.safe
    found = [(each.category, each.detail) for each in verdict.findings]
    assert REFUSED[text] in found


def test_harmless_sentences_pass() -> None:
    wrong = {text: found for text in PASSED if (found := SHIPPED.check(text).findings)}
    assert not wrong


def test_no_prompt_of_the_project_is_refused() -> None:
    texts = own_prompts()
    wrong = {text: found for text in texts if (found := SHIPPED.check(text).findings)}
    assert len(texts) > 30, "the rate would say nothing"
    assert not wrong, f"{len(wrong)} of {len(texts)} prompts of our own"


def own_prompts() -> set[str]:
    """Of the examples, the cards and the documents: whatever stands after a prompt's key."""
    texts = {card.negative_prompt for card in read_cards(ROOT / "presets" / "models").values()}
    for path in (ROOT / "assets" / "examples").glob("*.yaml"):
        storyboard = yaml.safe_load(path.read_text())
        texts |= {scene["prompt"] for scene in storyboard["scenes"]} | {storyboard.get("look", "")}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "tests").rglob("test_*.py")]
    for path in pages:
        if "guard" not in path.name and path.name != Path(__file__).name:
            texts |= set(re.findall(r"""prompt["']?\s*[:=]\s*["']([^"'\n]{8,})["']""", path.read_text()))
    return texts


def test_folders_of_a_host_in_the_layout_of_nvidia(tmp_path: Path) -> None:
    for name, lines in {"custom/rivals.txt": "acme\n", "whitelist/ok.txt": "acme anvil\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"\ufeff# ours\n\n{lines}")
    (tmp_path / "exact_match").mkdir()
    (tmp_path / "exact_match" / "names.txt").write_text("Wilhelmina Testperson\n")
    ours = BlockList([ROOT / "assets" / "guard", tmp_path])
    assert ours.key != SHIPPED.key, "verdicts of other lists do not count"
    assert [each.category for each in ours.check("a rocket by ACMEs").findings] == ["rivals"]
    assert ours.check("an acme anvil falls").safe
    assert not ours.check("Wilhelmina  Testpersn waves").safe, "one letter is missing"
    assert ours.check("Wilhelmina waves").safe
    assert not ours.check("they behead him").safe, "the shipped list counts too"


def test_lists_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(AssistantFailed, match="no block list there"):
        BlockList([tmp_path / "nowhere"])
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom" / "words.txt").write_bytes(b"\xff\xfe\x00w")
    with pytest.raises(AssistantFailed, match=r"words\.txt.*no UTF-8"):
        BlockList([tmp_path])
