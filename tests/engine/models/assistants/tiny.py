"""Tiny assistants of the published classes with random weights, in the published layouts. For tests only.

Comes in: a models' root. Goes out: folders as ``transformers`` and the makers write them, and cards that name them. An
answer ends at any of some common tokens, so that it is short.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from engine.contract.assistant_cards import AssistantCard, AssistantFormat
from engine.contract.assistants import AssistantKind
from engine.models.assistants.chat_model import ChatModel

NUM_ENDS = 6
"""Tokens of letters that end an answer, besides the tokenizer's own."""
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ CONTENT }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant{{ '\\n' }}"
)
IN_PARTS = (
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% elif part.type == 'image' %}IMAGE{% else %}VIDEO{% endif %}{% endfor %}{% endif %}"
)
CHAT = TURNS.replace("CONTENT", "m.content")
QWEN_VL = TURNS.replace("{{ CONTENT }}", IN_PARTS).replace("IMAGE", "<|image_pad|>").replace("VIDEO", "<|video_pad|>")
MISTRAL = "{% for m in messages %}[INST]" + IN_PARTS.replace("IMAGE", "[IMG]") + "[/INST]{% endfor %}"
LLAMA_GUARD = (
    "{% for code, name in categories.items() %}{{ code }}: {{ name }}\n{% endfor %}User: {{ messages[0].content }}"
)
QWEN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>")
MISTRAL_TOKENS = ("</s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
TEXT_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 8192,
}


def card(root: Path, name: str, form: AssistantFormat, kinds: Sequence[AssistantKind], **parts: str) -> AssistantCard:
    """Of a folder of the name; ``parts``: further ones, as paths."""
    named = {part: {"folder": str(Path(path).parent), "paths": (Path(path).name,)} for part, path in parts.items()}
    values: dict[str, Any] = {"name": name, "title": name, "summary": "Random weights, for tests.", "format": form}
    values |= {"licence": "Apache-2.0", "origin": "made by the tests", "kinds": tuple(kinds), "precision": "float32"}
    return AssistantCard.model_validate({**values, "parts": {"model": {"folder": name, "paths": (".",)}, **named}})


def write_tokenizer(folder: Path, specials: Sequence[str], template: str | None) -> PreTrainedTokenizerFast:
    """A token for each byte, and the special ones behind them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=specials[0], pad_token=specials[0])
    fast.add_special_tokens({"additional_special_tokens": list(specials[1:])})
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


def write_model(model: PreTrainedModel, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """With weights of normal size, so that tokens differ, and an end for an answer."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    assert model.generation_config is not None
    ends = [tokenizer.convert_tokens_to_ids(letter) for letter in "qzjxkvbw"[:NUM_ENDS]]
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *ends]
    model.generation_config.do_sample = True
    model.save_pretrained(folder)


def make_say(chat: ChatModel, after: str, text: str) -> None:
    """Changes a loaded model so that behind the character ``after`` it writes ``text``, as one token, and ends: its
    layers add nothing any more, so that a token is decided by the one before."""
    chat.tokenizer.add_tokens([text])
    chat.model.resize_token_embeddings(len(chat.tokenizer), mean_resizing=False)
    spoken, end = chat.tokenizer.convert_tokens_to_ids(text), chat.tokenizer.eos_token_id
    (before,) = chat.tokenizer(after, add_special_tokens=False)["input_ids"]
    embeddings, head = chat.model.get_input_embeddings().weight, chat.model.get_output_embeddings().weight
    with torch.no_grad():
        for name, parameter in chat.model.named_parameters():
            if "layers" in name and name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
        torch.nn.init.normal_(embeddings, generator=torch.Generator().manual_seed(1))
        head.zero_()
        head[spoken], head[end] = 10 * embeddings[before], 10 * embeddings[spoken]


def write_vision_chat(folder: Path) -> None:
    tokenizer = write_tokenizer(folder, QWEN_TOKENS, QWEN_VL)
    image, video = (tokenizer.convert_tokens_to_ids(token) for token in QWEN_TOKENS[3:])
    text = {
        **TEXT_SIZES,
        "vocab_size": len(tokenizer),
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]},
    }
    vision = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 32}
    vision |= {"fullatt_block_indexes": [0], "patch_size": 14}
    torch.manual_seed(1)
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, image_token_id=image, video_token_id=video)
    write_model(Qwen2_5_VLForConditionalGeneration(config), folder, tokenizer)


def write_describer(folder: Path) -> None:
    tokenizer = write_tokenizer(folder, MISTRAL_TOKENS, None)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": MISTRAL}))
    vision = {"model_type": "pixtral", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "head_dim": 16, "patch_size": 16, "image_size": 1024}
    text = {"model_type": "mistral", **TEXT_SIZES, "vocab_size": len(tokenizer)}
    torch.manual_seed(2)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    write_model(LlavaForConditionalGeneration(config), folder, tokenizer)


def write_captioner(folder: Path, names: dict[str, str]) -> MistralForCausalLM:
    """As NVIDIA publishes it. -> transformers' model that it is made from. ``names``: theirs by transformers'."""
    tokenizer = write_tokenizer(folder, MISTRAL_TOKENS, MISTRAL)
    torch.manual_seed(3)
    config = MistralConfig(**TEXT_SIZES, vocab_size=len(tokenizer), rms_norm_eps=1e-5, sliding_window=None)
    config.rope_parameters = {"rope_type": "default", "rope_theta": 1e6}
    model = MistralForCausalLM(config).eval()
    state: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        *around, last, _ = name.split(".")
        if last in ("q_proj", "k_proj"):  # their heads hold pairs of neighbours, these two halves
            tensor = tensor.reshape(-1, 2, 4, 32).transpose(1, 2).reshape(tensor.shape)
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[f"model.{name}"] = tensor.contiguous()
    torch.save({"model": state | {"layers.0.attention._extra_state": torch.zeros(1)}}, folder / "model.pt")
    (folder / "config.json").write_text(json.dumps({"head_dim": 8}))
    return model


def write_text_guard(folder: Path, form: AssistantFormat) -> None:
    template = {"qwen3guard": CHAT, "llama_guard_3": LLAMA_GUARD}.get(form)
    tokenizer = write_tokenizer(folder, QWEN_TOKENS, template)
    torch.manual_seed(4)
    sizes = {**TEXT_SIZES, "vocab_size": len(tokenizer)}
    model = Qwen3ForCausalLM(Qwen3Config(**sizes)) if form == "qwen3guard" else LlamaForCausalLM(LlamaConfig(**sizes))
    write_model(model, folder, tokenizer)


def write_frame_classifier(folder: Path, classifier: Path) -> None:
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(5)
    config = SiglipConfig(text_config=small, vision_config={**small, "image_size": 28, "patch_size": 14})
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder)
    widths = [(32, 512), (512, 256), (256, 7)]
    state: dict[str, torch.Tensor] = {}
    for place, (before, after) in zip((0, 3, 6), widths, strict=True):
        layer, norm = torch.nn.Linear(before, after), torch.nn.BatchNorm1d(after)
        state |= {f"network.layers.{place}.{name}": value for name, value in layer.state_dict().items()}
        if place < 6:
            state |= {f"network.layers.{place + 1}.{name}": value for name, value in norm.state_dict().items()}
    classifier.parent.mkdir(parents=True)
    torch.save({"model": state}, classifier)
