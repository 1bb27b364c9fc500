"""Guards of text: Qwen3Guard-Gen, Llama Guard 3, and Aegis, a LoRA on LlamaGuard-7b that is merged when it is read.

Comes in: a card's files, texts. Goes out: verdicts, or AssistantFailed where the answer has no label. Does not know
policies, or what becomes of an unsafe prompt.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from engine.assistants.endpoint import Message, Sampling
from engine.assistants.guard_answers import (
    AEGIS_CATEGORIES,
    LLAMA_GUARD_CATEGORIES,
    aegis_verdict,
    llama_guard_verdict,
    qwen_verdict,
)
from engine.checkpoints.files import Weights
from engine.checkpoints.lora import merging, read_lora
from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import AssistantRequest, CheckTextRequest, Verdict
from engine.contract.errors import Rejected
from engine.models.assistants.assistant import LocalAssistant, Work
from engine.models.assistants.chat_model import ChatModel
from engine.models.assistants.pretrained import load_model, load_tokenizer
from engine.models.model import DTYPES
from engine.storage.card_files import find_part

PEFT_PREFIX = "base_model.model."
QWEN_SAMPLING, LLAMA_SAMPLING = Sampling(128, 0.0), Sampling(100, 0.0)
"""A guard takes the likeliest words: the same text has the same verdict."""

AEGIS_POLICY = {
    "O1": "promote, threaten or give advice on acts of violence against people, groups or animals",
    "O2": "be erotic, or describe or solicit sexual acts",
    "O3": "help to plan, prepare or hide a crime",
    "O4": "help to make, buy or use guns and weapons against the law",
    "O5": "help to make, buy or use drugs and other controlled substances",
    "O6": "encourage suicide or self-harm, or say how it is done",
    "O7": "sexualise anyone who is under age",
    "O8": "attack or demean people for what they are",
    "O10": "harass, bully or intimidate someone",
    "O11": "threaten harm to a person, or force someone by threats",
    "O12": "hold swear words or obscene language",
}
"""In our words under the categories' trained names and numbers."""


def load(card: AssistantCard, models_root: Path) -> LocalAssistant:
    folder = find_part(card.parts.model, models_root)
    model = load_model(AutoModelForCausalLM, folder, DTYPES[card.precision])
    if card.parts.adapter is not None:
        merge_adapter(model, find_part(card.parts.adapter, models_root))
    return TextGuard(card, ChatModel(card.name, model, load_tokenizer(folder)))


def merge_adapter(model: Any, path: Path) -> None:
    """Adds a PEFT LoRA to the model's weights. Raises Rejected("weights")."""
    lora, state = read_lora(path, 1.0), model.state_dict()

    def name_in_model(name: str) -> str | None:
        return name.removeprefix(PEFT_PREFIX) if name.removeprefix(PEFT_PREFIX) in state else None

    merged = merging((lora,), Weights(str(path), lambda: state), name_in_model)
    changed = {name for layer in lora.pairs if (name := name_in_model(f"{layer}.weight"))}
    if not changed:
        raise Rejected(
            "weights", f"{path}: the adapter changes no layer of this model. Bring the one that belongs to it."
        )
    for name in changed:
        state[name].copy_(merged(name, state[name]))


class TextGuard(LocalAssistant):
    def __init__(self, card: AssistantCard, chat: ChatModel) -> None:
        super().__init__(card, chat.model)
        self.chat = chat
        self._asks: dict[str, tuple[Callable[[str], str], Sampling, Callable[[str, str], Verdict]]] = {
            "qwen3guard": (self._qwen_text, QWEN_SAMPLING, qwen_verdict),
            "llama_guard_3": (self._llama_text, LLAMA_SAMPLING, llama_guard_verdict),
            "aegis": (aegis_text, LLAMA_SAMPLING, aegis_verdict),
        }

    def answer(self, request: AssistantRequest, work: Work) -> Verdict:
        if not isinstance(request, CheckTextRequest):
            raise self.cannot(request)
        text_of, sampling, verdict = self._asks[self.card.format]
        text = text_of(request.text)
        answer = self.chat.continued(text, sampling, lambda tokens: work.step(tokens, sampling.max_tokens))
        return verdict(answer, self.card.title)

    def _qwen_text(self, text: str) -> str:
        return self.chat.text_of([Message("user", (text,))])

    def _llama_text(self, text: str) -> str:
        return self.chat.text_of([Message("user", (text,))], categories=dict(LLAMA_GUARD_CATEGORIES))


def aegis_text(text: str) -> str:
    """In the form of Llama 2 that Aegis was trained on, which no chat template writes."""
    policy = "\n".join(
        f"{code}: {AEGIS_CATEGORIES[code]}.\nShould not\n- {AEGIS_POLICY[code]}." for code in AEGIS_POLICY
    )
    return f"""[INST] Task: Check if there is unsafe content in 'User' messages in conversations according our safety \
policy with the below categories.

<BEGIN UNSAFE CONTENT CATEGORIES>
{policy}
<END UNSAFE CONTENT CATEGORIES>

<BEGIN CONVERSATION>

User: {text}

<END CONVERSATION>

Provide your safety assessment for User in the above conversation:
- First line must read 'safe' or 'unsafe'.
- If unsafe, a second line must include a comma-separated list of violated categories. [/INST]"""
