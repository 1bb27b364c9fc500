"""The bundled model's language: every name is said in several ways, and captions say what they claim to say.

In: captions. Out: assertions. Does not know: pixels, the trained model.
"""

import random

from tools.diorama import captions, world


def _captions(n: int) -> list[tuple[str, tuple[bool, ...], world.Combination]]:
    rng = random.Random(5)
    drawn = [rng.choice(world.all_combinations()) for _ in range(n)]
    return [(*captions.caption(c, rng), c) for c in drawn]


def test_every_motion_and_setting_has_eight_phrasings() -> None:
    for table in (captions.MOTION_PHRASES, captions.SETTING_PHRASES):
        assert all(len(set(phrases)) >= 8 for phrases in table.values())


def test_stated_colours_and_settings_are_in_the_text() -> None:
    for said, stated, c in _captions(300):
        if stated[1] and "'" not in said:
            assert any(hue.split()[0] in said.lower() for hue in captions.HUES[c.colour])
        if not stated[3]:
            assert not any(place in said.lower() for place in captions.SETTING_PHRASES[c.setting])


def test_about_a_sixth_leaves_attributes_out() -> None:
    share = sum(not all(stated) for _, stated, _ in _captions(2000)) / 2000
    assert 0.08 < share < 0.2


def test_plain_captions_use_only_words_of_the_vocabulary() -> None:
    rng, known = random.Random(6), set(captions.all_words())
    for c in world.held_out_combinations()[:50]:
        words = captions.plain_caption(c, rng).lower().replace(",", " ").replace(".", " ").split()
        assert set(words) <= known
