"""Writes the types of what the page shows: ``studio/ui/static/core/view.d.ts``, from the views' JSON schema.

Comes in: ``BoardView`` and ``ProjectSummary``. Goes out: one TypeScript interface a value, for the checker of the
page's scripts. Does not know the scripts. Run: ``python -m tools.view_types``.
"""

from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from studio.library.projects import ProjectSummary
from studio.views.types import BoardView

FILE = Path(__file__).parents[1] / "studio" / "ui" / "static" / "core" / "view.d.ts"
HEADER = (
    "// What the studio sends to the page. Written by tools/view_types.py from the views' JSON schema: do not edit.\n"
)
SIMPLE = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

Schema = dict[str, Any]


def view_types() -> str:
    """The text of the file."""
    _, schema = models_json_schema([(BoardView, "serialization"), (ProjectSummary, "serialization")])
    definitions: dict[str, Schema] = schema["$defs"]
    return "\n".join([HEADER, *(interface(name, definitions[name]) for name in sorted(definitions))])


def interface(name: str, schema: Schema) -> str:
    fields = "".join(f"  {key}: {type_of(value)};\n" for key, value in schema["properties"].items())
    return f"interface {name} {{\n{fields}}}\n"


def type_of(schema: Schema) -> str:
    """The TypeScript type of a value."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_of(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(literal(value) for value in schema["enum"])
    if "const" in schema:
        return literal(schema["const"])
    if schema.get("type") == "array":
        return array_of(schema)
    if schema.get("type") == "object":
        return f"Record<string, {type_of(schema.get('additionalProperties', {}))}>"
    return SIMPLE.get(schema.get("type", ""), "unknown")


def array_of(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(type_of(each) for each in schema['prefixItems'])}]"
    inner = type_of(schema["items"])
    return f"({inner})[]" if "|" in inner else f"{inner}[]"


def literal(value: str) -> str:
    return f"'{value}'"


if __name__ == "__main__":
    FILE.write_text(view_types())
