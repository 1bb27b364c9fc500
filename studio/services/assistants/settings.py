"""Which refiner, guard and critic a host uses: ``assistants.yaml`` in the workspace, and the flags of a command.

Comes in: a file, texts of flags, the environment. Goes out: ``AssistantSettings``, and the key of an endpoint, which
is read when it is needed and never part of the settings. Does not know what assistants do.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, SecretStr, ValidationError, model_validator

from engine.contract.assistants import AssistantKind
from engine.contract.values import Value
from studio.document.formats.plain_yaml import YamlError, parse
from studio.document.validation import problems_in, show
from studio.errors import PresetError

FILE = "assistants.yaml"
AUTO, BUILT_IN, OFF = "auto", "built-in", "off"
KEY_VARIABLES: Mapping[AssistantKind, str] = {
    "refiner": "STORYBOARD_REFINER_KEY",
    "guard": "STORYBOARD_GUARD_KEY",
    "critic": "STORYBOARD_CRITIC_KEY",
}
"""Where an endpoint's key is looked for if the settings name no other place."""


class AssistantSetting(Value):
    """One assistant. In the file also written as one text, as flags are: ``refiner: http://127.0.0.1:8000/v1#qwen3``.

    ``use``: ``auto``, ``built-in``, ``off``, the name of an assistant's card, or the URL of an endpoint.
    """

    use: str = Field(default=AUTO, strict=True, min_length=1, max_length=500)
    model: str = Field(default="", strict=True, max_length=200)
    """Of an endpoint; "": the first that it lists."""
    key_env: str = Field(default="", strict=True)
    """The environment variable that holds the endpoint's key."""
    key_file: str = Field(default="", strict=True)
    """A file that holds the endpoint's key and that only its owner may read; relative to the workspace."""
    timeout_s: float = Field(default=300.0, gt=0, le=3600)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, document: Any) -> Any:
        return _fields_of(document) if isinstance(document, str) else document

    @property
    def is_endpoint(self) -> bool:
        return self.use.startswith(("http://", "https://"))


def _fields_of(text: str) -> dict[str, str]:
    """``URL#MODEL`` as fields; any other text is a name."""
    if not text.startswith(("http://", "https://")):
        return {"use": text}
    url, _, model = text.partition("#")
    return {"use": url, "model": model}


class RefinerSetting(AssistantSetting):
    """``by_default``: whether ``render`` and ``batch`` refine without ``--refine``."""

    by_default: bool = Field(default=False, strict=True)


class GuardSetting(AssistantSetting):
    """``use``: the model that judges texts behind the block list; ``built-in``: the block list alone; ``off``: nothing.

    ``also``: further models, asked in order until one calls a text unsafe.
    """

    also: tuple[AssistantSetting, ...] = ()
    required: Literal["auto", "always", "never"] = "auto"
    """auto: for models whose licence asks for a guard. never: this host has a substitute, and answers for it."""
    switch: bool = Field(default=True, strict=True)
    """Whether authors may switch the guard off where nothing requires it."""
    block_lists: tuple[str, ...] = ()
    """Folders of the host's own lists, besides the shipped one; relative to the workspace."""
    video: Literal["advise", "withhold", "off"] = "advise"
    """What follows where the classifier of frames finds something in a take."""
    video_model: str = Field(default=AUTO, strict=True, min_length=1)
    """The classifier's card."""


class AssistantSettings(Value):
    """Of one host."""

    refiner: RefinerSetting = RefinerSetting()
    guard: GuardSetting = GuardSetting()
    critic: AssistantSetting = AssistantSetting()

    def of(self, kind: AssistantKind) -> AssistantSetting:
        return {"refiner": self.refiner, "guard": self.guard, "critic": self.critic}[kind]


def read_settings(path: Path) -> AssistantSettings:
    """Of a file; the defaults where there is none. Raises PresetError that names file and key."""
    try:
        document = parse(path.read_bytes())
    except FileNotFoundError:
        return AssistantSettings()
    except (OSError, YamlError) as error:
        raise PresetError(str(path), "", str(error)) from error
    if document is None:
        return AssistantSettings()
    if not isinstance(document, dict):
        raise PresetError(str(path), "", f"must be a group of `refiner:`, `guard:`, `critic:`, not {show(document)}")
    try:
        return AssistantSettings.model_validate(cast(dict[str, Any], document))
    except ValidationError as error:
        problem = problems_in(error, AssistantSettings)[0]
        raise PresetError(str(path), problem.field, problem.message) from error


def with_flags(settings: AssistantSettings, flags: Mapping[AssistantKind, str | None]) -> AssistantSettings:
    """With what the flags name in place of the file's; a key of the file goes to the address it was set for only."""
    changed: dict[str, AssistantSetting] = {}
    for kind, text in flags.items():
        if not text:
            continue
        before, fields = settings.of(kind), _fields_of(text)
        if kind == "guard" and text == OFF and not settings.guard.switch:
            raise PresetError(FILE, "guard.switch", "this host does not let the guard be switched off (--no-guard)")
        if fields["use"] != before.use:
            fields |= {"model": fields.get("model", ""), "key_env": "", "key_file": ""}
        elif not fields.get("model"):
            fields["model"] = before.model
        changed[kind] = before.model_copy(update=fields)
    return settings.model_copy(update=changed)


def with_refining(settings: AssistantSettings, wanted: bool | None) -> AssistantSettings:
    """As ``--refine`` (True) and ``--no-refine`` (False) say for one command; None: as it is."""
    changes: dict[str, object] = {} if wanted is None else {"by_default": wanted}
    changes |= {"use": OFF} if wanted is False else {}
    return settings.model_copy(update={"refiner": settings.refiner.model_copy(update=changes)})


def key_of(setting: AssistantSetting, kind: AssistantKind, workspace: Path) -> SecretStr | None:
    """The endpoint's key; None where none is set. Raises PresetError for a place that is named and holds none."""
    if setting.key_file:
        return SecretStr(_key_in(workspace / Path(setting.key_file).expanduser(), kind))
    variable = setting.key_env or KEY_VARIABLES[kind]
    key = os.environ.get(variable, "").strip()
    if setting.key_env and not key:
        raise PresetError(FILE, f"{kind}.key_env", f"the environment has no {variable}. Set it, or take key_env out")
    return _usable(key, variable) if key else None


def _key_in(path: Path, kind: AssistantKind) -> str:
    field = f"{kind}.key_file"
    try:
        mode, key = stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise PresetError(FILE, field, f"{path} cannot be read ({reason})") from error
    if mode & 0o077:
        raise PresetError(FILE, field, f"others may read {path}. Make it yours alone: chmod 600 {path}")
    if not key:
        raise PresetError(FILE, field, f"{path} is empty. Write the key into it")
    return _usable(key, str(path)).get_secret_value()


def _usable(key: str, where: str) -> SecretStr:
    """A key is one line of ASCII, as HTTP headers are; the message names its place and never the key."""
    if not key.isascii() or not key.isprintable():
        raise PresetError(FILE, "", f"what {where} holds is no key: it must be one line of plain characters")
    return SecretStr(key)
