"""Writes the page of a storyboard's keys, ``docs/storyboard.md``, from the document's own schema and docstrings.

Comes in: ``Storyboard`` and the values inside it. Goes out: a table for each, with every key's form, default and
meaning. Does not know formats or rendering. Run: ``python -m tools.storyboard_page``.
"""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from studio.document.storyboard import SCHEMA, Storyboard

FILE = Path(__file__).parents[1] / "docs" / "storyboard.md"
HEADER = f"""# The keys of a storyboard file

Written by `tools/storyboard_page.py` from `studio/document/storyboard.py`: do not edit. A storyboard is YAML or JSON;
`schema: {SCHEMA}` may stand first. Only `scenes` with a `prompt` each is needed. `storyboard check FILE` says what is
wrong with one, and `storyboard render FILE` takes flags for all of its scenes (`--steps`, `--size`, `--offload` ...),
which count more than the file. How to write prompts for a model is shown beside the prompt on the page.

```yaml
schema: {SCHEMA}
model: cosmos-predict2-2b-video2world-720p-16fps
preset: quality
aspect: "16:9"
speed: {{offload: components}}
scenes:
  - prompt: A sailboat crosses a calm lake at sunset; the camera follows it slowly from the left.
    duration_s: 5.8
    conditioning: {{media: pictures/boat.jpg}}
  - prompt: The boat turns into the wind, its sail fluttering.
    transition: continue
    negative_prompt: ""
    overrides: {{num_steps: 50}}
```
"""
HEAD = ("| key | form | default | meaning |", "|---|---|---|---|")
SIMPLE = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}


def page() -> str:
    """The text of the file."""
    return "\n".join([HEADER, *(section(model) for model in models(Storyboard))])


def models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model, and those inside it in the order of their keys, each once."""
    found = [model]
    for field in model.model_fields.values():
        for inner in inner_models(field.annotation):
            found += [each for each in models(inner) if each not in found]
    return found


def inner_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in inner_models(inner)]


def section(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    about = meanings(model)
    lines = [
        f"## {model.__name__}",
        plain(inspect.getdoc(model) or ""),
        "",
        "| key | form | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        default = field.default
        shown = "needed" if default is PydanticUndefined else value_text(default)
        lines.append(f"| `{name}` | {form(schema['properties'][name])} | {shown} | {plain(about.get(name, ''))} |")
    return "\n".join([*lines, ""])


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring after each field."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, following in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                found[statement.target.id] = inspect.cleandoc(str(following.value.value))
    return found


def plain(text: str) -> str:
    """One line of Markdown, in the words of a file."""
    text = re.sub(r"\bNone\b", "null", text)
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def value_text(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "none of its keys"
    return f"`{json.dumps(value)}`"


def form(schema: dict[str, Any]) -> str:
    """What a value may be, in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(form(each) for each in schema["anyOf"]))
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return f"[{', '.join(form(each) for each in schema['prefixItems'])}]"
    if schema.get("type") == "array":
        return f"list of {form(schema['items'])}"
    return SIMPLE.get(str(schema.get("type")), "value") + limits(schema)


def limits(schema: dict[str, Any]) -> str:
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    highest = schema.get("maximum")
    if schema.get("type") not in ("integer", "number") or lowest is None:
        return ""
    over = "over " if "exclusiveMinimum" in schema else ""
    return f", {over}{lowest:.15g} to {highest:.15g}" if highest is not None else f", {over}{lowest:g} and more"


if __name__ == "__main__":
    FILE.write_text(page())
