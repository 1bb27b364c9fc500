"""The host's settings: the file in its long and short form, flags over it, and where a key may be kept."""

from pathlib import Path

import pytest

from studio.errors import PresetError
from studio.services.assistants.settings import AssistantSetting, key_of, read_settings, with_flags, with_refining

TEXT = """
refiner: {use: "https://example.org/v1", model: big, key_file: key, by_default: true}
guard: off
critic: http://127.0.0.1:8000/v1#reason1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "assistants.yaml"
    path.write_text(TEXT)
    return path


def test_the_file_is_read_in_both_forms(path: Path, tmp_path: Path) -> None:
    settings = read_settings(path)
    assert settings.refiner.by_default and settings.refiner.model == "big" and settings.guard.use == "off"
    assert (settings.critic.use, settings.critic.model) == ("http://127.0.0.1:8000/v1", "reason1")
    assert read_settings(tmp_path / "none.yaml").refiner.use == "auto"


def test_a_key_goes_only_to_the_address_that_it_was_set_for(path: Path) -> None:
    settings = read_settings(path)
    elsewhere = with_flags(settings, {"refiner": "http://elsewhere/v1#m", "critic": None})
    assert (elsewhere.refiner.use, elsewhere.refiner.key_file) == ("http://elsewhere/v1", "")
    assert elsewhere.refiner.by_default and elsewhere.critic == settings.critic
    same = with_flags(settings, {"refiner": "https://example.org/v1"})
    assert same.refiner == settings.refiner


def test_a_command_may_refine_or_not_whatever_the_file_says(path: Path) -> None:
    settings = read_settings(path)
    assert with_refining(settings, None) == settings
    assert with_refining(settings, True).refiner.by_default
    never = with_refining(settings, False).refiner
    assert (never.use, never.by_default) == ("off", False)


@pytest.mark.parametrize(
    ("text", "field"), [("refiner: {url: x}", "refiner.url"), ("refiner: [1]", "refiner"), ("a: b", "a"), ("- x", "")]
)
def test_a_wrong_file_is_refused_with_its_key(path: Path, text: str, field: str) -> None:
    path.write_text(text)
    with pytest.raises(PresetError) as error:
        read_settings(path)
    assert error.value.file == str(path) and error.value.key == field


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    setting, key = AssistantSetting(use="https://example.org/v1", key_file="key"), tmp_path / "key"
    key.write_text("sk-secret\n")
    key.chmod(0o644)
    with pytest.raises(PresetError, match="chmod 600") as error:
        key_of(setting, "refiner", tmp_path)
    assert "sk-secret" not in str(error.value)
    key.chmod(0o600)
    found = key_of(setting, "refiner", tmp_path)
    assert found is not None and found.get_secret_value() == "sk-secret" and "secret" not in repr(found)


def test_a_key_of_the_environment_is_found_or_missed_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, named = AssistantSetting(use="http://a/v1"), AssistantSetting(use="http://a/v1", key_env="SOME_KEY")
    monkeypatch.delenv("SOME_KEY", raising=False)
    monkeypatch.setenv("STORYBOARD_REFINER_KEY", "sk-1")
    found = key_of(plain, "refiner", tmp_path)
    assert found is not None and found.get_secret_value() == "sk-1"
    assert key_of(plain, "critic", tmp_path) is None
    with pytest.raises(PresetError, match="no SOME_KEY"):
        key_of(named, "refiner", tmp_path)
