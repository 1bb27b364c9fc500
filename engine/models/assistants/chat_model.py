"""A chat model: messages in, text out, one token after another.

Comes in: messages of text, pictures and a clip, and how to sample. Goes out: the text of the answer; the same for the
same seed. Between two tokens the caller may end the work. Does not know what is asked, nor how a published model is
read.

Letters: L tokens.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from engine.assistants.endpoint import Message, Picture, Sampling
from engine.contract.errors import AssistantFailed, Rejected
from engine.models.assistants.vision import Clip, Vision

Heed = Callable[[int], None]
"""Called with the number of tokens so far; what it raises ends the work."""
PASSED_ON = ("top_k", "repetition_penalty")
"""Keys of ``Sampling.extra`` that are settings of the sampling here too."""


class ChatModel:
    """``vision`` None: it reads text alone."""

    def __init__(self, name: str, model: Any, tokenizer: Any, vision: Vision | None = None) -> None:
        self.name, self.model, self.tokenizer, self.vision = name, model, tokenizer, vision
        self._ascii: Tensor | None = None

    def ask(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        heed: Heed,
        clip: Clip | None = None,
        in_ascii: bool = False,
    ) -> str:
        """``clip``: what a part of type video/mp4 stands for. ``in_ascii``: no other characters are written."""
        pictures = [part for message in messages for part in message.parts if isinstance(part, Picture)]
        text = self.text_of(messages)
        return self.continued(text, sampling, heed, pictures, clip, in_ascii)

    def text_of(self, messages: Sequence[Message], **values: Any) -> str:
        """By the model's own template; ``values``: what else that reads. Where it refuses a system message, that stands
        before the user's words. Raises Rejected where there is no template, or none that takes these messages."""
        if not self.tokenizer.chat_template:
            raise Rejected("weights", f"{self.name}: its tokenizer has no chat template. Choose a chat model.")
        chat = [{"role": message.role, "content": _content(message)} for message in messages]
        try:
            return self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **values)
        except TemplateError as error:
            if messages[0].role == "system" and len(messages) > 1:
                first = Message(messages[1].role, (*messages[0].parts, *messages[1].parts))
                return self.text_of([first, *messages[2:]], **values)
            raise Rejected("weights", f"{self.name}: its chat template failed ({error}). Bring it again.") from error

    def continued(
        self,
        text: str,
        sampling: Sampling,
        heed: Heed,
        pictures: Sequence[Picture] = (),
        clip: Clip | None = None,
        in_ascii: bool = False,
    ) -> str:
        """What the model writes after a text that has the form it was trained on."""
        inputs = self._inputs(text, pictures, clip)
        num_before = inputs["input_ids"].shape[1]
        rules = LogitsProcessorList([_Only(self._ascii_tokens())] if in_ascii else [])
        with torch.random.fork_rng(self._devices()), torch.inference_mode():
            torch.manual_seed(sampling.seed or 0)
            tokens = self.model.generate(
                **inputs,
                generation_config=self._settings(sampling),
                logits_processor=rules,
                stopping_criteria=StoppingCriteriaList([_Heeding(heed, num_before)]),
            )
        return self.tokenizer.decode(tokens[0, num_before:], skip_special_tokens=True)

    def _inputs(self, text: str, pictures: Sequence[Picture], clip: Clip | None) -> dict[str, Tensor]:
        device = next(self.model.parameters()).device
        seen: dict[str, Tensor] = {}
        if pictures:
            if self.vision is None:
                raise AssistantFailed(f"{self.name}: reads text alone, and was shown a picture. Choose a vision model.")
            text, seen = self.vision.look(text, pictures, clip)
        tokens = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        inputs = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
        if self.vision is not None and pictures:
            seen |= self.vision.kinds(inputs["input_ids"])
        dtype = next(self.model.parameters()).dtype
        as_read = {name: value.to(dtype) if value.is_floating_point() else value for name, value in seen.items()}
        return {name: value.to(device) for name, value in (inputs | as_read).items()}

    def _settings(self, sampling: Sampling) -> Any:
        """The checkpoint's own, and what the caller decides. A temperature of 0: always the likeliest token."""
        settings = copy.deepcopy(self.model.generation_config)
        settings.max_new_tokens, settings.max_length = sampling.max_tokens, None
        if settings.pad_token_id is None:
            settings.pad_token_id = self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or 0
        if settings.eos_token_id is None:
            settings.eos_token_id = self.tokenizer.eos_token_id
        if sampling.temperature is not None:
            settings.do_sample = sampling.temperature > 0
            settings.temperature = sampling.temperature or None
            settings.top_p, settings.top_k = sampling.top_p if settings.do_sample else None, None
        for name in PASSED_ON:
            if name in sampling.extra:
                setattr(settings, name, sampling.extra[name])
        return settings

    def _devices(self) -> list[torch.device]:
        device = next(self.model.parameters()).device
        return [device] if device.type == "cuda" else []

    def _ascii_tokens(self) -> Tensor:
        """(vocabulary,) whether a token is written in ASCII, or is a special one."""
        if self._ascii is None:
            size = self.model.get_output_embeddings().weight.shape[0]
            texts = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))])
            allowed = torch.zeros(size, dtype=torch.bool)
            allowed[: len(texts)] = torch.tensor([text.isascii() for text in texts])
            allowed[self.tokenizer.all_special_ids] = True
            self._ascii = allowed
        return self._ascii


def _content(message: Message) -> str | list[dict[str, str]]:
    """Text alone is given as text: templates of models without eyes read nothing else."""
    if all(isinstance(part, str) for part in message.parts):
        return "\n".join(str(part) for part in message.parts)
    return [_part(part) for part in message.parts]


def _part(part: str | Picture) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part, "content": part}  # templates name it either way
    return {"type": "video" if part.content_type.startswith("video/") else "image"}


class _Only(LogitsProcessor):
    """Lets some tokens be written."""

    def __init__(self, allowed: Tensor) -> None:
        self._allowed = allowed

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.masked_fill(~self._allowed.to(scores.device), -torch.inf)


class _Heeding(StoppingCriteria):
    """Between two tokens the caller may raise."""

    def __init__(self, heed: Heed, num_before: int) -> None:
        self._heed, self._num_before = heed, num_before

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        self._heed(input_ids.shape[1] - self._num_before)
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
