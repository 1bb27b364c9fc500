"""Refiners and critics that are chat models: of text, or with eyes.

Comes in: a card's files, requests. Goes out: refinements and critiques, by the same templates and parsers that an
endpoint's answers go through. Does not know how a model is run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from engine.assistants.critic_answers import SYSTEM, critique_of, question
from engine.assistants.endpoint import Message, Picture, Sampling
from engine.assistants.refiner.chat import refined
from engine.assistants.refiner.pictures import jpeg_of, picture_of
from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import (
    AssistantAnswer,
    AssistantRequest,
    Critique,
    CritiqueRequest,
    Refinement,
    RefineRequest,
)
from engine.contract.errors import Rejected
from engine.models.assistants.assistant import LocalAssistant, Work
from engine.models.assistants.chat_model import ChatModel, Heed
from engine.models.assistants.mistral import load_captioner
from engine.models.assistants.pretrained import load_model, load_tokenizer
from engine.models.assistants.vision import Clip, PixtralVision, QwenVision, Vision, sampled_places
from engine.models.model import DTYPES
from engine.storage.card_files import find_part
from engine.storage.media import frames_at, probe

CRITIC_FPS = 16.0
CRITIC_SAMPLING = Sampling(4096, 0.6, 0.95, 0, {"top_k": 50, "repetition_penalty": 1.05})
"""Cosmos-Reason1's own for its critic."""
NUM_STILLS = 8
"""Of a clip, for a model that reads pictures only."""
OF_PREDICT1 = ("captioner", "describer")
"""Formats that are asked as Predict1's upsamplers are, whatever the film's model."""


def load(card: AssistantCard, models_root: Path) -> LocalAssistant:
    folder, dtype = find_part(card.parts.model, models_root), DTYPES[card.precision]
    tokenizer = load_tokenizer(folder)
    if card.format in ("chat", "captioner"):
        captioner = card.format == "captioner" and (folder / "model.pt").is_file()
        model = load_captioner(folder, dtype) if captioner else load_model(AutoModelForCausalLM, folder, dtype)
        return ChatAssistant(card, ChatModel(card.name, model, tokenizer))
    model = load_model(AutoModelForImageTextToText, folder, dtype)
    return ChatAssistant(card, ChatModel(card.name, model, tokenizer, vision_of(folder, model.config, tokenizer)))


def vision_of(folder: Path, config: Any, tokenizer: Any) -> Vision:
    """Raises Rejected("model") for a kind of model whose pictures are not prepared here."""
    if config.model_type in ("qwen2_vl", "qwen2_5_vl"):
        return QwenVision(config, tokenizer)
    if config.model_type == "llava" and config.vision_config.model_type == "pixtral":
        return PixtralVision(folder, config, tokenizer)
    what = f"{folder}: pictures of {config.model_type} models are not read here"
    raise Rejected("model", f"{what} (Qwen2.5-VL's and Pixtral's are). Serve it with vLLM and name its URL.")


class ChatAssistant(LocalAssistant):
    def __init__(self, card: AssistantCard, chat: ChatModel) -> None:
        super().__init__(card, chat.model)
        self.chat = chat

    def answer(self, request: AssistantRequest, work: Work) -> AssistantAnswer:
        match request:
            case RefineRequest():
                return self._refined(request, work)
            case CritiqueRequest() if self.chat.vision is not None:
                return self._critique(request, work)
            case _:
                raise self.cannot(request)

    def _refined(self, request: RefineRequest, work: Work) -> Refinement:
        film = work.film_model(request.model)
        style = "predict1" if self.card.format in OF_PREDICT1 else film.traits.prompt_style

        def ask(messages: Sequence[Message], sampling: Sampling) -> str:
            heed = _heeding(work, 0, 1, sampling)
            return self.chat.ask(messages, sampling, heed, in_ascii=style != "predict1")

        def picture() -> Picture:
            return picture_of(work.media(request.media or ""))

        if request.media is None or self.chat.vision is not None:
            return refined(request, style, film.text.max_tokens, ask, picture, self.card.title)
        blind = request.model_copy(update={"media": None, "media_kind": ""})
        found = refined(blind, style, film.text.max_tokens, ask, picture, self.card.title)
        return found.model_copy(
            update={"notes": (f"{self.card.title} reads text alone: it saw no picture.", *found.notes)}
        )

    def _critique(self, request: CritiqueRequest, work: Work) -> Critique:
        content, clip = self._seen(work.media(request.media))
        messages = [Message("system", (SYSTEM,)), Message("user", (*content, question(request.prompt)))]
        texts: list[str] = []
        for trial in range(request.num_trials):
            heed = _heeding(work, trial, request.num_trials, CRITIC_SAMPLING)
            sampling = _with_seed(CRITIC_SAMPLING, (request.seed + trial) % 2**32)
            texts.append(self.chat.ask(messages, sampling, heed, clip))
        return critique_of(texts, self.card.title)

    def _seen(self, path: Path) -> tuple[tuple[Picture, ...], Clip | None]:
        """A clip as frames where the model reads those, else as stills."""
        info = probe(path)
        if isinstance(self.chat.vision, QwenVision) and info.kind == "clip":
            places, fps = sampled_places(info.num_frames, info.fps, CRITIC_FPS)
            return (Picture(b"", "video/mp4"),), Clip(frames_at(path, places), fps)
        count = min(NUM_STILLS, info.num_frames)
        places = sorted({round(place * (info.num_frames - 1) / max(1, count - 1)) for place in range(count)})
        frames = frames_at(path, places)
        return tuple(jpeg_of(frames[number : number + 1]) for number in range(len(places))), None


def _with_seed(sampling: Sampling, seed: int) -> Sampling:
    return Sampling(sampling.max_tokens, sampling.temperature, sampling.top_p, seed, sampling.extra)


def _heeding(work: Work, trial: int, num_trials: int, sampling: Sampling) -> Heed:
    """Steps of one of several answers."""
    return lambda tokens: work.step(trial * sampling.max_tokens + tokens, num_trials * sampling.max_tokens)
