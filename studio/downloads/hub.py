"""Brings the files of a model's part from the hub to the models' root.

Comes in: a card's ``Part``. Goes out: its files where the card says, all of them or none: partial files are
under ``.incoming``, and the next try continues them. Does not know cards' other fields, terminals or who accepted a
licence. Errors: ``Rejected("download")`` with the reason. A token is sent to the hub alone and never shown.
"""

import contextlib
import fcntl
import fnmatch
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub import get_hf_file_metadata as file_metadata  # pyright: ignore[reportUnknownVariableType]
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get  # pyright: ignore[reportUnknownVariableType]
from huggingface_hub.utils import build_hf_headers, httpx  # pyright: ignore[reportUnknownVariableType]

from engine.contract.card_values import Part
from engine.contract.errors import Rejected
from engine.storage.atomic import publish
from engine.storage.workspace import Workspace

HUB = "https://huggingface.co"
INCOMING = ".incoming"
UNFINISHED = ".incomplete"
TOKEN_FILE = "hf_token"
TIMEOUT_S = 30.0
SPARE_BYTES = 2**30
"""Left free on the disk."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """``name``: its path in the repository. ``num_bytes``: 0 where the hub does not say."""

    name: str
    num_bytes: int


def token_of(workspace: Workspace) -> str | None:
    """HF_TOKEN, else the workspace's own file, which only its owner may read; None: neither is there."""
    token = os.environ.get("HF_TOKEN", "").strip()
    if token:
        return token
    path = workspace.root / TOKEN_FILE
    try:
        if path.stat().st_mode & 0o077:
            raise Rejected("download", f"{path}: others on this machine may read this token. Run: chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("download", f"{path}: the token cannot be read ({error}). Write it again.") from error


def wanted_patterns(part: Part) -> tuple[str, ...]:
    """Of the files to fetch, as paths in the repository."""
    return part.fetch or part.paths[:1]


class Hub:
    """``endpoint``: instead of the public hub, as HF_ENDPOINT would say. ``token`` None: whatever is logged in here."""

    def __init__(self, models_root: Path, workspace: Workspace, endpoint: str | None = None) -> None:
        self._root = models_root
        self._token_path = workspace.root / TOKEN_FILE
        self._token = token_of(workspace)
        self._endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
        self._api = HfApi(endpoint=self._endpoint, token=self._token)

    def fetch(self, name: str, part: Part) -> Path:
        """Downloads what a part consists of; -> the folder that its files lie in now."""
        if not part.repository:
            raise Rejected("download", f"{name}: is published nowhere. {self.by_hand(part)}")
        with self._errors_in_words(part):
            commit = self._commit(part)
            files = self._files(part, commit)
            incoming = self._root / INCOMING / part.folder / f"{name}-{commit[:12]}"
            self._check_room(files, incoming)
            for file in files:
                self._bring(part, commit, file, incoming)
            for half in incoming.rglob(f"*{UNFINISHED}"):  # of what the repository held before
                half.unlink()
            _move_into(incoming, self._root / part.folder)
            shutil.rmtree(incoming, ignore_errors=True)
        return self._root / part.folder

    def by_hand(self, part: Part) -> str:
        """What a person with a browser would do instead."""
        files = ", ".join(wanted_patterns(part))
        if not part.repository:
            return f"Put your own ({files}) into {self._root / part.folder}."
        page = f"{HUB}/{part.repository}/tree/{part.revision or 'main'}"
        return f"Or bring {files} from {page} by hand and put it into {self._root / part.folder}, with the same names."

    # ---- what there is
    def _commit(self, part: Part) -> str:
        """The full name of the commit that a card pins; cards may hold the beginning of it."""
        revision = part.revision
        if re.fullmatch(r"[0-9a-f]{40}", revision):
            return revision
        is_short = re.fullmatch(r"[0-9a-f]{7,39}", revision) is not None
        # Asked first in either case: unlike the list of commits, it says at once that there is no network.
        newest = self._api.model_info(
            part.repository, revision=None if is_short else revision or None, timeout=TIMEOUT_S
        )
        commits = [newest.sha or ""]
        if is_short and not commits[0].startswith(revision):
            commits = [commit.commit_id for commit in self._api.list_repo_commits(part.repository)]
        found = next((commit for commit in commits if commit.startswith(revision) or not is_short), "")
        if not found:
            raise Rejected("download", f"{part.repository}: has no commit {revision}. {self.by_hand(part)}")
        return found

    def _files(self, part: Part, commit: str) -> list[RemoteFile]:
        info = self._api.model_info(part.repository, revision=commit, timeout=TIMEOUT_S, files_metadata=True)
        there = [RemoteFile(each.rfilename, each.size or 0) for each in info.siblings or ()]
        patterns = wanted_patterns(part)
        found = {pattern: [file for file in there if _matches(file.name, pattern)] for pattern in patterns}
        files = list(dict.fromkeys(file for matching in found.values() for file in matching))
        absent = [name for name, matching in found.items() if not matching and ("*" not in name or not files)]
        if absent:
            raise Rejected("download", f"{part.repository}: has no {', '.join(absent)}. {self.by_hand(part)}")
        for file in files:
            if file.name.startswith("/") or ".." in Path(file.name).parts:
                raise Rejected("download", f"{part.repository}: names a file outside of itself ({file.name}).")
        return files

    def _check_room(self, files: list[RemoteFile], incoming: Path) -> None:
        incoming.mkdir(parents=True, exist_ok=True)
        here = sum(path.stat().st_size for path in incoming.rglob("*") if path.is_file())
        needed = sum(file.num_bytes for file in files) - here
        free = shutil.disk_usage(incoming).free
        if needed + SPARE_BYTES > free:
            what = f"{needed / 10**9:.1f} GB are still to come and {free / 10**9:.1f} GB are free"
            raise Rejected("download", f"{self._root}: {what}. Make room, or use another folder with --models-root.")

    # ---- bringing one file
    def _bring(self, part: Part, commit: str, file: RemoteFile, incoming: Path) -> None:
        """A file under its own name when it is whole, and under one with its etag while it is not."""
        target = incoming / file.name
        if target.is_file():
            return
        url = hf_hub_url(part.repository, file.name, revision=commit, endpoint=self._endpoint)
        about = file_metadata(url, token=self._token, endpoint=self._endpoint)
        etag = re.sub(r"[^A-Za-z0-9]", "", about.etag or "")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.{etag[:16]}{UNFINISHED}")
        headers = {**build_hf_headers(token=self._token), "Accept-Encoding": "identity"}
        if about.size is not None and draft.is_file() and draft.stat().st_size > about.size:
            draft.unlink()
        with draft.open("ab") as growing:
            _lock(growing, draft)
            http_get(
                url,
                growing,
                resume_size=growing.tell(),
                headers=headers,
                expected_size=about.size,
                displayed_filename=file.name,
            )
        _check_content(draft, etag, part)
        publish(draft, target)

    @contextlib.contextmanager
    def _errors_in_words(self, part: Part) -> Generator[None]:
        where = f"{HUB}/{part.repository}"
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # this module reports the same
        try:
            yield
        except GatedRepoError as error:
            raise Rejected("download", self._gated(part, where)) from error
        except RepositoryNotFoundError as error:
            words = (
                self._gated(part, where) if part.gated and self._token is None else f"{where}: is not there (any more)"
            )
            raise Rejected("download", f"{words}. {self.by_hand(part)}") from error
        except (RevisionNotFoundError, EntryNotFoundError) as error:
            what = f"{where}: has no revision {part.revision}, or not these files in it"
            raise Rejected("download", f"{what}. {self.by_hand(part)}") from error
        except HfHubHTTPError as error:
            raise Rejected("download", self._refused(part, where, error)) from error
        except httpx.HTTPError as error:
            what = f"{self._endpoint} cannot be reached ({type(error).__name__}); what has arrived is kept"
            raise Rejected(
                "download", f"{what}. Run this again when there is a network. {self.by_hand(part)}"
            ) from error
        except OSError as error:
            what = f"{where}: could not be brought whole ({error.strerror or error}); what has arrived is kept"
            raise Rejected("download", f"{what}. Make sure that there is room, and run this again.") from error

    def _gated(self, part: Part, where: str) -> str:
        have = "the token that is used here has no access" if self._token else "and there is no token here"
        return (
            f"{where} is gated, {have}. Open that page with your account and accept its licence, make a token at "
            f"{HUB}/settings/tokens, and give it as HF_TOKEN or in {self._token_path} (chmod 600)"
        )

    def _refused(self, part: Part, where: str, error: HfHubHTTPError) -> str:
        code = error.response.status_code
        if code in (401, 403):
            have = "the token was not accepted" if self._token else "a token may be needed"
            return f"{where}: refused ({code}): {have}. Give one as HF_TOKEN or in {self._token_path} (chmod 600)."
        return f"{where}: the hub answered {code}; what has arrived is kept. Run this again later. {self.by_hand(part)}"


def _matches(name: str, pattern: str) -> bool:
    """``*`` matches letters of one name; a folder means everything in it."""
    names, wanted = name.split("/"), pattern.rstrip("/").split("/")
    return len(wanted) <= len(names) and all(
        fnmatch.fnmatchcase(part, like) for part, like in zip(names, wanted, strict=False)
    )


def _lock(file: BinaryIO, path: Path) -> None:
    """Until the file is closed nobody else writes it. Raises Rejected."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Rejected("download", f"{path}: another process is bringing it. Wait for that one.") from error


def _check_content(draft: Path, etag: str, part: Part) -> None:
    """Large files are named by their SHA-256: one that came in pieces is proved whole. Raises Rejected."""
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        return
    with draft.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != etag:
        draft.unlink()
        raise Rejected("download", f"{part.repository}: {draft.name} arrived damaged and was removed. Run this again.")


def _move_into(source: Path, target: Path) -> None:
    """A whole folder at once where there is none yet, else what is in it, one by one."""
    if source.is_dir() and target.is_dir():
        for inside in sorted(source.iterdir()):
            _move_into(inside, target / inside.name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
