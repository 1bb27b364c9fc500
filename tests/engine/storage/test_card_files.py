"""Cards from files: what of a card enters a fingerprint never changes, since every recipe holds it."""

import hashlib
import json
from pathlib import Path

import pytest

from engine.contract.card_values import Part
from engine.contract.errors import Rejected
from engine.storage.card_files import find_part, fingerprinted_values, has_part, is_weight_file, read_cards

SHIPPED = read_cards(Path(__file__).parents[3] / "presets" / "models")
FIRST_RELEASE = {
    "cogvideox-5b-zero-gate": "ad93ccacfa9391ed",
    "cosmos-predict1-14b-text2world": "ee9c66c3b179126d",
    "cosmos-predict1-14b-video2world": "a1f815934756e9e7",
    "cosmos-predict1-7b-text2world": "fbd74faa9d647614",
    "cosmos-predict1-7b-video2world": "479044f46d22567c",
    "cosmos-predict2-0.6b-text2image-fast": "80d4f56a12a0566b",
    "cosmos-predict2-0.6b-text2image": "c3a3f414c3070150",
    "cosmos-predict2-14b-text2image": "0f837155648862f6",
    "cosmos-predict2-14b-video2world-480p-10fps": "897ee31d9c9fbded",
    "cosmos-predict2-14b-video2world-480p-16fps": "897ee31d9c9fbded",
    "cosmos-predict2-14b-video2world-720p-10fps-natten": "6e87d4a1f7eeee44",
    "cosmos-predict2-14b-video2world-720p-10fps": "897ee31d9c9fbded",
    "cosmos-predict2-14b-video2world-720p-16fps-natten": "6e87d4a1f7eeee44",
    "cosmos-predict2-14b-video2world-720p-16fps": "897ee31d9c9fbded",
    "cosmos-predict2-2b-text2image": "219237cb9f7c0642",
    "cosmos-predict2-2b-video2world-480p-10fps": "187dce2382c8cf9b",
    "cosmos-predict2-2b-video2world-480p-16fps": "187dce2382c8cf9b",
    "cosmos-predict2-2b-video2world-720p-10fps-natten": "78860cd311ce6ec9",
    "cosmos-predict2-2b-video2world-720p-10fps": "187dce2382c8cf9b",
    "cosmos-predict2-2b-video2world-720p-16fps-natten": "78860cd311ce6ec9",
    "cosmos-predict2-2b-video2world-720p-16fps": "187dce2382c8cf9b",
    "dfm-dit-b": "645cb7872b33f31b",
    "dfm-dit-l": "339ac5f46723c17a",
    "dfm-dit-s": "9ba036e2e57e6a49",
    "dfm-dit-xl": "18ca085f9fdecf73",
    "diorama": "ae33b63f47f21680",
    "ttt-video-linear-5b": "5c314eb0e607de2c",
    "ttt-video-mlp-5b": "deb42089dba04891",
}
"""SHA-256 (first 16 digits) of each shipped card's fingerprinted values, as takes of the first release have them."""


@pytest.mark.parametrize("name", FIRST_RELEASE)
def test_a_shipped_card_keeps_its_fingerprint(name: str) -> None:
    values = fingerprinted_values(SHIPPED[name])
    assert hashlib.sha256(values.encode()).hexdigest()[:16] == FIRST_RELEASE[name], values


def test_every_shipped_card_is_compared() -> None:
    assert set(SHIPPED) == set(FIRST_RELEASE), "a new card: add what its fingerprint is made of"


def test_words_of_a_card_change_no_fingerprint() -> None:
    card = SHIPPED["diorama"]
    renamed = card.model_copy(update={"title": "Another", "summary": "Other words", "num_steps": 3})
    assert fingerprinted_values(renamed) == fingerprinted_values(card)
    assert json.loads(fingerprinted_values(card))["family"] == "cosmos"


def test_a_part_is_the_first_of_its_paths_that_exists(tmp_path: Path) -> None:
    part = Part(folder="model", paths=("a.safetensors", "b.pt"), repository="owner/name")
    assert not has_part(part, tmp_path)
    with pytest.raises(Rejected, match=r"a\.safetensors or .*b\.pt: not there \(published as owner/name\)"):
        find_part(part, tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "b.pt").touch()
    assert find_part(part, tmp_path) == tmp_path / "model" / "b.pt" and has_part(part, tmp_path)
    (tmp_path / "model" / "a.safetensors").touch()
    assert find_part(part, tmp_path) == tmp_path / "model" / "a.safetensors"


@pytest.mark.parametrize(
    ("name", "decides"), [("x.safetensors", True), (".metadata", True), ("spiece.model", True), ("README.md", False)]
)
def test_which_files_decide(name: str, decides: bool) -> None:
    assert is_weight_file(Path(name)) == decides


@pytest.mark.parametrize(
    ("network", "repository"),
    [
        ("{paths: [mine.pt]}", ""),
        ("{folder: /my/weights, paths: [mine.pt]}", ""),
        ("{folder: /my/weights, repository: me/mine}", "me/mine"),
    ],
)
def test_a_part_in_a_folder_of_ones_own_is_no_download_of_the_base(
    tmp_path: Path, network: str, repository: str
) -> None:
    text = f"base: cosmos-predict2-2b-video2world-720p-16fps\nparts: {{network: {network}}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    parts = read_cards(Path("presets/models").resolve(), tmp_path)["mine"].parts
    assert parts.network.repository == repository
    assert repository or not parts.network.num_bytes
    assert parts.autoencoder.repository == "nvidia/Cosmos-Predict2-2B-Video2World"
