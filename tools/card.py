"""Writes into a model card what its files say: sizes, the preview map and the words that its prompts were made of.

In: a card under `presets/models` and the folder it names. Out: the same card with the values of the folder's
`transformer/config.json`, `autoencoder/config.json`, `tokenizer/tokenizer_config.json`, `preview.json` and
`vocabulary.json`. Does not know: training, measuring.

    python -m tools.card diorama
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import safe_open

from studio.planning.presets import MODELS_FOLDER, load_cards

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 110


def vocabulary_of(folder: Path) -> list[str]:
    """All words of the model's training sentences, each once, in alphabetical order."""
    words = json.loads((folder / "vocabulary.json").read_text())["all_words"]
    return sorted({word.lower() for word in words})


def num_parameters(folder: Path) -> int:
    with safe_open(folder / "transformer" / "model.safetensors", framework="numpy") as weights:
        shapes = [weights.get_slice(key).get_shape() for key in weights.keys()]  # noqa: SIM118
    total = 0
    for shape in shapes:
        size = 1
        for side in shape:
            size *= side
        total += size
    return total


def rewritten(text: str, folder: Path) -> str:
    """The card's text with what its files say made again."""
    network = json.loads((folder / "transformer" / "config.json").read_text())
    encoder = json.loads((folder / "autoencoder" / "config.json").read_text())
    preview = json.loads((folder / "preview.json").read_text())
    sizes: dict[str, Any] = {name: network[name] for name in ("width", "num_blocks", "num_heads", "patch_spatial")}
    sizes["num_parameters"] = num_parameters(folder)
    factors = {
        "spatial_factor": encoder["scale_factor_spatial"],
        "temporal_factor": encoder["scale_factor_temporal"],
        "latent_channels": encoder["z_dim"],
    }
    text = _replaced(text, "network", f" {_flow(sizes)}\n")
    text = _replaced(text, "autoencoder", f" {_flow(factors)}\n")
    max_tokens = json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())["model_max_length"]
    text = _replaced(text, "text", f" {_flow({'max_tokens': max_tokens})}\n")
    text = _replaced(text, "vocabulary", "\n" + _wrapped(vocabulary_of(folder), "  ") + "\n")
    rows = "".join(f"    -\n{_wrapped(row, '      ')}\n" for row in preview["weight"])
    bias = f"  bias: [{', '.join(map(str, preview['bias']))}]\n"
    return _replaced(text, "preview", f"\n  weight:\n{rows}{bias}")


def _flow(group: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in group.items()) + "}"


def _wrapped(values: Iterable[object], indent: str) -> str:
    lines = [indent + "["]
    for value in values:
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        if len(lines[-1]) + len(shown) > WIDTH:
            lines.append(indent + " ")
        lines[-1] += f"{shown}, " if lines[-1].endswith((" ", "[")) else f" {shown}, "
    return "\n".join(line.rstrip() for line in lines).removesuffix(",") + "]"


def _replaced(text: str, key: str, value: str) -> str:
    """The top-level key with its whole block, however many lines it has, replaced."""
    pattern = re.compile(rf"^{key}:.*\n(?:[ \t].*\n)*", re.MULTILINE)
    if not pattern.search(text):
        raise SystemExit(f"the card has no {key}: block; write `{key}:` into it")
    return pattern.sub(lambda _: f"{key}:{value}", text, count=1)


def main(name: str) -> None:
    path = MODELS_FOLDER / f"{name}.yaml"
    path.write_text(rewritten(path.read_text(), ROOT / load_cards()[name].parts.network.folder))


if __name__ == "__main__":
    main(sys.argv[1])
