"""Text for TTT-Video and CogVideoX: T5 v1.1 XXL and its tokenizer, from one folder.

Comes in: prompts, and how many tokens each is padded to. Goes out: embeddings of every position, padding included, as
the network was trained on: no mask anywhere. Does not know guidance, segments or where scene tokens are put.

Letters: B batch, L text length, D width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AddedToken, T5EncoderModel

from engine.contract.errors import Rejected
from engine.contract.scene_tokens import END_SCENE, START_SCENE
from engine.layers import t5
from engine.models.model import TextEncoder

EXCERPT = 60
"""Characters of a prompt that an error repeats."""


class T5TextEncoder(TextEncoder):
    def __init__(self, tokenizer: Any, encoder: T5EncoderModel) -> None:
        super().__init__()
        self.tokenizer, self.encoder = tokenizer, encoder

    @torch.inference_mode()
    def forward(self, prompts: list[str], max_tokens: int) -> Tensor:
        """-> (B, L, D), L = ``max_tokens``. Raises Rejected("text") where a prompt is longer: it is never cut, since
        what is lost would be the scene's end."""
        ids = [self.ids(prompt, max_tokens) for prompt in prompts]
        return self.encoder(torch.tensor(ids, device=self.encoder.device)).last_hidden_state

    def ids(self, prompt: str, max_tokens: int) -> list[int]:
        """``max_tokens`` of them: the prompt's, the end of text, padding."""
        ids: list[int] = self.tokenizer(prompt, truncation=False).input_ids
        if len(ids) > max_tokens:
            problem = (
                f"the text {prompt[:EXCERPT]!r}... has {len(ids)} tokens, and {max_tokens} is the most for a segment"
            )
            raise Rejected("text", f"{problem} of a film of this length. Write less for this segment.")
        return ids + [self.tokenizer.pad_token_id] * (max_tokens - len(ids))


def load_text_encoder(folder: Path, tokenizer_folder: Path, dtype: torch.dtype) -> T5TextEncoder:
    """From folders in transformers' layout (they may be one), on the CPU. Nothing is looked up elsewhere.

    Raises Rejected("weights") for what is missing, damaged or does not belong together.
    """
    tokenizer, encoder = load_tokenizer(tokenizer_folder), t5.load_encoder(folder, dtype)
    rows = encoder.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        problem = f"the encoder has {rows} embeddings, the tokenizer with its scene tokens {len(tokenizer)}"
        raise Rejected("weights", f"{folder}: not the encoder of this tokenizer: {problem}.")
    return T5TextEncoder(tokenizer, encoder).eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> Any:
    """With the two scene tokens after all others, in the order in which the weights met them. T5 v1.1 has embeddings
    for them: 28 more than its tokenizer has pieces."""
    tokenizer = t5.load_tokenizer(folder)
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=True) for name in (END_SCENE, START_SCENE)])
    return tokenizer
