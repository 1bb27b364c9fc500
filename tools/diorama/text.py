"""The tokenizer and the small T5 encoder of the bundled model.

In: captions. Out: a BPE tokenizer and a T5 encoder whose token embeddings tell what a caption states. Does not know:
pixels, the diffusion network.
Legend: B batch, L text length, D width.
"""

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from tools.diorama import captions, world
from tools.diorama.clips import attribute_indices
from tools.diorama.training import Clock, load_state, log, save_state

MAX_TOKENS, WIDTH, VOCABULARY_SIZE = 32, 128, 512
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
NUM_CLASSES = (len(world.SUBJECTS), len(world.COLOURS), len(world.MOTIONS), len(world.SETTINGS))


def make_tokenizer(folder: Path, num_captions: int = 20_000) -> PreTrainedTokenizerFast:
    """Trains the tokenizer on captions of all combinations (words are no secret, only their pictures) and saves it."""
    rng, every = random.Random(1), world.all_combinations()
    texts = [captions.caption(rng.choice(every), rng)[0] for _ in range(num_captions)]
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    alphabet = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    specials = [PAD, END, UNKNOWN]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY_SIZE, special_tokens=specials, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, model_max_length=MAX_TOKENS
    )
    fast.save_pretrained(folder)
    return fast


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(folder)


def make_encoder() -> T5EncoderModel:
    config = T5Config(
        vocab_size=VOCABULARY_SIZE,
        d_model=WIDTH,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        is_encoder_decoder=False,
        use_cache=False,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
    )
    encoder = T5EncoderModel(config)
    bias = encoder.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    for head, bucket in enumerate((1, 2, 17)):  # one before, two before, one after: word order is seen from the start
        bias.data[bucket, head] += 6.0
    return encoder


def tokens_of(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> tuple[Tensor, Tensor]:
    """ids and mask, both (B, 32)."""
    batch = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def embed(encoder: T5EncoderModel, ids: Tensor, mask: Tensor) -> Tensor:
    """(B, L) to (B, L, D) with padded positions zero, as the diffusion network expects them."""
    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    return hidden * mask[..., None].to(hidden.dtype)


class Reader(nn.Module):
    """Training only: reads the four attributes (or that one is not stated) from every token, and from a pooled one."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, 1)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, n + 1) for n in NUM_CLASSES)

    def forward(self, hidden: Tensor, mask: Tensor) -> list[Tensor]:
        """-> per attribute (B, 1 + L, classes + 1): the pooled reading first."""
        weights = self.query(hidden)[..., 0].masked_fill(mask == 0, -1e4).softmax(1)
        pooled = (weights[..., None] * hidden).sum(1, keepdim=True)
        return [head(torch.cat([pooled, hidden], 1)) for head in self.heads]


def _examples(combinations: list[world.Combination], size: int, rng: random.Random) -> tuple[list[str], Tensor]:
    texts, targets = [], []
    weights = [4 if c.motion in ("left", "right") else 1 for c in combinations]  # distinguished by word order alone
    for c in rng.choices(combinations, weights, k=size):
        text, stated = captions.caption(c, rng)
        if rng.random() < 0.03:
            text, stated = "", (False,) * 4
        texts.append(text)
        targets.append([i if s else n for i, s, n in zip(attribute_indices(c), stated, NUM_CLASSES, strict=True)])
    return texts, torch.tensor(targets)


def reading_loss(readings: list[Tensor], mask: Tensor, targets: Tensor) -> Tensor:
    total = torch.zeros(())
    for k, reading in enumerate(readings):
        per_token = F.cross_entropy(
            reading.transpose(1, 2), targets[:, k, None].expand(-1, reading.shape[1]), reduction="none"
        )
        weight = 3.0 if k == 2 else 1.0  # motion is the hardest to read
        total = total + weight * (per_token[:, 0].mean() + (per_token[:, 1:] * mask).sum() / mask.sum())
    return total


def train(cache: Path, minutes: float, batch: int = 48) -> None:
    """Trains the encoder alone; stops early once held-out captions read right."""
    tokenizer = make_tokenizer(cache / "tokenizer")
    encoder, reader = make_encoder(), Reader()
    state = load_state(cache / "text.pt")
    if state is not None:
        encoder.load_state_dict(state["encoder"])
        reader.load_state_dict(state["reader"])
    parameters = [*encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01)
    clock, step, rng = Clock(minutes, (state or {}).get("spent_s", 0.0)), 0, random.Random(7)
    combinations = world.training_combinations()
    while not clock.is_over():
        texts, targets = _examples(combinations, batch, rng)
        ids, mask = tokens_of(tokenizer, texts)
        loss = reading_loss(reader(embed(encoder, ids, mask), mask), mask, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * clock.factor(step)
        optimizer.step()
        step += 1
        if step % 200 == 0:
            line = f"step {step} loss {loss.item():.3f} spent {clock.spent_s():.0f} s"
            log(cache / "text.log", f"{line} {accuracy(encoder, reader, tokenizer)}")
    state = {"encoder": encoder.state_dict(), "reader": reader.state_dict(), "spent_s": clock.spent_s()}
    save_state(cache / "text.pt", state)
    log(cache / "text.log", f"held-out readings {accuracy(encoder, reader, tokenizer)}")


@torch.no_grad()
def accuracy(encoder: T5EncoderModel, reader: Reader, tokenizer: PreTrainedTokenizerFast) -> list[float]:
    """Share of held-out captions whose (subject, colour, motion, setting) is read right from the pooled token."""
    texts, targets = _examples(world.held_out_combinations(), 1000, random.Random(99))
    ids, mask = tokens_of(tokenizer, texts)
    readings = reader(embed(encoder, ids, mask), mask)
    return [round((r[:, 0].argmax(-1) == targets[:, k]).float().mean().item(), 4) for k, r in enumerate(readings)]


def load_trained(cache: Path) -> T5EncoderModel:
    """The trained encoder, or a fresh one where none was trained yet."""
    encoder, state = make_encoder(), load_state(cache / "text.pt")
    if state is not None:
        encoder.load_state_dict(state["encoder"])
    return encoder.eval()
