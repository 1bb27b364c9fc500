"""Command lines of the original scripts, and their translation by the tables of ``docs/coming-from.md``.

Comes in: a command as its guide prints it. Goes out: our arguments. The page is read, not repeated: a row that it lacks
is a ``KeyError`` with the flag. Does not know our parser.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "coming-from.md"
LAUNCHING = "Launching"
SECTIONS = {
    "examples.megatron.recipes.dit.inference_dit_model": "NeMo DFM: inference_dit_model.py",
    "sample": "TTT-Video: sample.py",
    "examples.text2world": "Cosmos-Predict2: text2world.py",
    "examples.video2video_sdedit": "Cosmos-Predict2: video2video_sdedit.py",
    "examples.video2world": "Cosmos-Predict2: video2world.py, video2world_lvg.py, video2world_bestofn.py",
    "cosmos_predict1.diffusion.inference.video2world": "Cosmos-Predict1: video2world.py",
}
VARIANTS = {"examples.video2world_lvg": "examples.video2world", "examples.video2world_bestofn": "examples.video2world"}
IN_MODEL = "in the name of `--model`"
FLAG = re.compile(r"`(--[^`]+)`")

Flags = dict[str, str]


@dataclass(frozen=True)
class Row:
    """``theirs``: each flag with the name of its value ("": none)."""

    theirs: Flags
    ours: str


def tables() -> dict[str, list[Row]]:
    """The rows of the page by section."""
    found: dict[str, list[Row]] = {}
    section = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| `--") and line.count("|") == 3:
            theirs, ours = (cell.strip() for cell in line.strip("|").split("|"))
            flags = dict((*flag.split(" ", 1), "")[:2] for flag in FLAG.findall(theirs))
            found.setdefault(section, []).append(Row(flags, ours if ours == IN_MODEL else ours.strip("`")))
    return found


def split(command: str) -> tuple[Flags, str, Flags]:
    """-> (flags of the launcher, script, flags of the script); a flag without a value has ""."""
    words = [word for word in shlex.split(command.replace("\\\n", " ")) if not re.match(r"^[A-Z_]+=", word)]
    at = next(i for i, word in enumerate(words) if _script(word) in {*SECTIONS, *VARIANTS})
    return _flags(words[:at]), _script(words[at]), _flags(words[at + 1 :])


def _script(word: str) -> str:
    return word.removesuffix(".py").replace("/", ".")


def _flags(words: list[str]) -> Flags:
    flags: Flags = {}
    for position, word in enumerate(words):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            following = words[position + 1] if position + 1 < len(words) else "--"
            flags[name] = value if equals else "" if following.startswith("--") else following
    return flags


def translated(command: str, values: Flags | None = None) -> list[str]:
    """Our arguments. ``values``: of the variables that the command names, such as ``${NUM_GPUS}``."""
    for name, value in (values or {}).items():
        command = command.replace(f"${{{name}}}", value).replace(f"<{name}>", value)
    launcher, script, flags = split(command)
    script = VARIANTS.get(script, script)
    rows = tables()
    words = _ours(launcher, rows[LAUNCHING]) + _ours(flags, rows[SECTIONS[script]])
    name, arguments = "generate", list[str]()
    for text in dict.fromkeys(words):
        parts = shlex.split(text)
        if parts[0] == "critique":
            return parts
        if parts[0] == "batch":
            name, parts = parts[0], parts[1:]
        arguments += parts
    return [name, *arguments, *_model(script, flags)]


def _ours(flags: Flags, rows: list[Row]) -> list[str]:
    """Each row that a flag is in, once, with its values in place of capital letters."""
    words: list[str] = []
    for flag in flags:
        row = next((row for row in rows if flag in row.theirs), None)
        if row is None:
            raise KeyError(f"{flag}: has no row in {PAGE.name}")
        if row.ours not in ("", IN_MODEL):
            values = {name: flags[theirs] for theirs, name in row.theirs.items() if name and theirs in flags}
            values.setdefault("DIR", flags.get("--save_path", ""))
            words.append(_with_values(row.ours, values))
    return list(dict.fromkeys(words))


def _with_values(template: str, values: Flags) -> str:
    pattern = "|".join(sorted(values, key=len, reverse=True))
    return re.sub(pattern, lambda found: _quoted(values[found[0]]), template)


def _quoted(value: str) -> str:
    return shlex.quote(value) if re.search(r"\s|['\"$]", value) or not value else value


def _model(script: str, flags: Flags) -> list[str]:
    """The model's name, as the section's first lines say."""
    if script.startswith("examples.megatron"):
        return ["--model", "dfm-dit-xl"]
    if script == "sample":
        return []
    if script.startswith("cosmos_predict1"):
        return ["--model", flags["--diffusion_transformer_dir"].lower()]
    size, resolution = flags.get("--model_size", "2B").lower(), flags.get("--resolution", "720")
    sparse = "-natten" if "--natten" in flags else ""
    return ["--model", f"cosmos-predict2-{size}-video2world-{resolution}p-{flags.get('--fps', '16')}fps{sparse}"]
