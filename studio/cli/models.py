"""``storyboard models``: which models there are, what of them is here, bringing them, joining parts of a checkpoint.

Comes in: flags. Goes out: text, JSON lines, files under the models' root; an exit code. Does not know how files are
looked at or fetched.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from engine.contract.assistant_cards import AssistantCard
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.storage.card_files import AnyCard
from studio.cli.flags import DONE, FAILED, WRONG, Commands, models_root_of, studio_from_flags, workspace_of
from studio.document.validation import suggestion
from studio.downloads.files import (
    Machine,
    ModelFiles,
    PartFiles,
    files_of,
    fit,
    gigabytes,
    needed_bytes,
    part_files,
    this_machine,
)
from studio.errors import PlanError
from studio.planning.presets import load_assistants, load_cards

CONSOLIDATE = "engine.models.dfm.consolidate"


def add_commands(commands: Commands) -> None:
    text = "The models: which are here (list), bringing one (get), joining parts of a checkpoint (consolidate)."
    models = commands.add("models", _models, text)
    inside = Commands(models, required=False)
    listing = inside.add("list", _list, "What of each model is on this disk, what is missing, and whether it fits.")
    listing.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all)")
    listing.add_argument("--json", action="store_true", help="JSON lines for programs")
    get = inside.add("get", _get, "Download what is missing of a model; half a download goes on where it was.")
    get.add_argument("name", metavar="NAME")
    get.add_argument("--part", action="append", default=[], help="only this: network, autoencoder, text_encoder ...")
    get.add_argument("--accept-licence", action="store_true", help="you have read the licences and accept them")
    joining = inside.add("consolidate", _consolidate, "Join the parts of a DFM checkpoint into one safetensors file.")
    joining.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="folder with parts, or a part")
    joining.add_argument("--out", required=True, type=Path, metavar="FILE", help="the safetensors file to write")


def _models(flags: argparse.Namespace) -> int:
    studio = studio_from_flags(flags)
    try:
        statuses = studio.rendering.models().values()
    finally:
        studio.close()
    for status in statuses:
        card = status.card
        here = f"here, {status.fingerprint[:12]}" if status.available else f"not here: {status.reason}"
        sizes = ", ".join(f"{aspect} {width}x{height}" for aspect, (width, height) in card.sizes_px.items())
        guard = " (asks for a guard)" if card.asks_for_guard else ""
        print(f"{card.name}: {card.title}. {card.summary}\n  {here}\n  {sizes}, {card.fps} fps, {card.licence}{guard}")
    return DONE


def _list(flags: argparse.Namespace) -> int:
    root, machine = models_root_of(flags), this_machine()
    cards = _all_cards(root)
    named = [_card(name, cards) for name in flags.names] or list(cards.values())
    named.sort(key=lambda card: isinstance(card, AssistantCard))
    for number, card in enumerate(named):
        files = files_of(card, root)
        begins = isinstance(card, AssistantCard) and not (number and isinstance(named[number - 1], AssistantCard))
        if begins and not flags.json:
            print("\nAssistants: refiners, guards and critics")
        print(json.dumps(facts(files, machine)) if flags.json else "\n".join(lines(files, machine)))
    return DONE


def _all_cards(root: Path) -> dict[str, AnyCard]:
    """Of models and assistants; a model's name counts where both have it."""
    return {**load_assistants(models_root=root), **load_cards(models_root=root)}


def _card(name: str, cards: dict[str, AnyCard]) -> AnyCard:
    if name not in cards:
        raise PlanError("", f'there is no model "{name}"{suggestion(name, cards)}')
    return cards[name]


def lines(files: ModelFiles, machine: Machine) -> list[str]:
    """A model as lines of text: whether it is here, what is missing, whether it fits."""
    card = files.card
    state = "here" if not files.missing else f"{len(files.parts) - len(files.missing)} of {len(files.parts)} parts here"
    output_lines = [f"{card.name}: {card.title}; {state}"]
    output_lines += [f"  {each.name}: {_part_line(each)}" for each in files.parts]
    if files.missing:
        amount = gigabytes(files.download_bytes) if files.download_bytes else ""
        known = amount if files.size_known else f"at least {amount}" if amount else "of a size that is not known"
        output_lines.append(f"  to bring: {known} (storyboard models get {card.name})")
    if isinstance(card, AssistantCard):
        output_lines.append(f"  {card.summary} ({', '.join(card.kinds)})")
    elif card.first_frame:
        output_lines.append(f"  its first frames are made by {card.first_frame}")
    return [*output_lines, f"  {fit(card, machine)}"]


def _part_line(files: PartFiles) -> str:
    if files.place is not None:
        return f"here, {gigabytes(files.num_bytes)} ({files.place})"
    size = f", {gigabytes(files.part.num_bytes)}" if files.part.num_bytes else ""
    return f"missing{size}; {files.reason}"


def facts(files: ModelFiles, machine: Machine) -> dict[str, object]:
    """A model as a JSON line says it."""
    needed, source = needed_bytes(files.card)
    parts = [
        {
            "name": each.name,
            "here": each.place is not None,
            "path": str(each.place or ""),
            "num_bytes": each.num_bytes,
            "download_bytes": each.part.num_bytes or None,
            "reason": each.reason,
        }
        for each in files.parts
    ]
    return {
        "name": files.card.name,
        "kind": "assistant" if isinstance(files.card, AssistantCard) else "model",
        "here": not files.missing,
        "parts": parts,
        "download_bytes": files.download_bytes,
        "download_is": "known" if files.size_known else "at least",
        "needed_bytes": needed,
        "needed_is": source,
        "fit": fit(files.card, machine),
    }


def _get(flags: argparse.Namespace) -> int:
    from studio.downloads.hub import Hub  # here: the hub's library takes a moment to import

    root = models_root_of(flags)
    card = _card(flags.name, _all_cards(root))
    missing = _wanted(card, root, flags.part)
    if not missing:
        print(f"{card.name}: everything is here.")
        return DONE
    hub = Hub(root, workspace_of(flags))
    for each in missing:
        print(_licence_line(each))
    if not _accepted(card, flags.accept_licence):
        return FAILED
    for each in missing:
        folder = hub.fetch(each.name, each.part)
        found = part_files(each.name, each.part, root)
        if found.place is None:
            raise Rejected("download", f"{folder}: came, but {found.reason}")
        print(f"{each.name}: here, {gigabytes(found.num_bytes)} ({found.place})", flush=True)
    if isinstance(card, ModelCard) and card.first_frame:
        print(f"Its first frames are made by another model: storyboard models get {card.first_frame}")
    return DONE


def _wanted(card: AnyCard, root: Path, names: list[str]) -> list[PartFiles]:
    """What is missing of the parts asked for, the published first; each folder once, though parts may share it."""
    known = card.parts.all()
    for name in names:
        if name not in known:
            raise PlanError("", f'{card.name} has no part "{name}"{suggestion(name, known)}')
    missing = [each for each in files_of(card, root).missing if not names or each.name in names]
    return sorted({each.part: each for each in missing}.values(), key=lambda each: not each.part.repository)


def _licence_line(files: PartFiles) -> str:
    part = files.part
    size = gigabytes(part.num_bytes) if part.num_bytes else "size not known"
    gate = ", gated: its licence is accepted on that page too" if part.gated else ""
    where = f"https://huggingface.co/{part.repository}" if part.repository else "published nowhere"
    return f"{files.name}: {size}, licence: {part.licence or 'see the page'} ({where}{gate})"


def _accepted(card: AnyCard, said_so: bool) -> bool:
    if said_so:
        return True
    if sys.stdin.isatty():
        accepted = _answer(f"Do you accept these licences of {card.title}? [y/N] ") in ("y", "yes")
        why = "not accepted, so nothing is brought"
    else:
        accepted, why = False, "read the licences above and run this again with --accept-licence"
    if not accepted:
        print(f"storyboard: {why}.", file=sys.stderr)
    return accepted


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:  # Ctrl-D
        print()
        return ""


def _consolidate(flags: argparse.Namespace) -> int:
    """In a process of its own: it needs torch, and this one has none."""
    command = [sys.executable, "-m", CONSOLIDATE, *map(str, flags.sources), "--to", str(flags.out)]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    return code if code in (DONE, FAILED, WRONG) else FAILED
