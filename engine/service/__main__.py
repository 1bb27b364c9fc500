"""``python -m engine.service``: one engine process over one workspace, until it is asked to stop.

Comes in: flags. Goes out: an HTTP interface; ``engine.json`` in the workspace with its address once it answers. Exit
codes: 2 wrong flags or port in use, 3 another engine has this workspace. Asked to stop, it ends its ranks, then itself
by the signal that asked it (15 where standard input closed). Does not know who started it.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import cast, get_args

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from engine.contract.errors import EngineError
from engine.service.api import make_api
from engine.service.change_signal import ChangeSignal
from engine.service.dispatcher import Dispatcher
from engine.service.groups import Group, make_group
from engine.service.lock import AlreadyRunning, WorkspaceLock
from engine.service.models import Models
from engine.service.settings import GroupKind, Settings, default_roots, heads_of_models, num_visible_gpus, usable_ranks
from engine.service.store import Store
from engine.service.tables import open_database
from engine.storage.atomic import write_text
from engine.storage.migrations import DatabaseTooNew
from engine.storage.workspace import Workspace

USAGE_ERROR, ALREADY_RUNNING = 2, 3
LOG_BYTES, NUM_LOGS = 4 * 2**20, 3


def main(arguments: list[str] | None = None) -> int:
    flags = _parser().parse_args(arguments)
    try:
        settings = _settings(flags)
        with WorkspaceLock(settings.workspace), bind(settings) as listening:
            return _serve(settings, listening, flags)
    except AlreadyRunning as error:
        return _leave(ALREADY_RUNNING, str(error))
    except (PortInUse, DatabaseTooNew) as error:
        return _leave(USAGE_ERROR, str(error))
    except OSError as error:
        return _leave(USAGE_ERROR, f"cannot use the workspace {flags.workspace}: {error}. Choose another --workspace.")
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        return _leave(USAGE_ERROR, f"cannot use the database: {error}. Check --database-url, and the disk's space.")


def _leave(code: int, message: str) -> int:
    print(f"storyboard engine: {message}", file=sys.stderr)
    return code


class PortInUse(EngineError):
    """Another process listens there, or may."""


def _parser() -> argparse.ArgumentParser:
    cards, models_root = default_roots()
    parser = argparse.ArgumentParser(prog="python -m engine.service", description="The engine alone, without a page.")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), help="folder of all state")
    parser.add_argument("--cards", type=Path, default=cards, help="folder of model cards (yaml)")
    parser.add_argument("--models-root", type=Path, default=models_root, help="folder that the cards' folders are in")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0: the last one used here, or any free one")
    parser.add_argument("--ranks", type=int, default=0, help="0: one for each GPU that the models can use, else one")
    parser.add_argument("--database-url", default="", help="SQLAlchemy URL; SQLite in the workspace by default")
    group = "local: ranks on this machine; fake: for tests"
    parser.add_argument("--group", choices=get_args(GroupKind), default="local", help=group)
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    parser.add_argument("--ready-fd", type=int, default=-1, help="file descriptor to write the address to when ready")
    return parser


def _settings(flags: argparse.Namespace) -> Settings:
    if flags.ranks < 0 or not 0 <= flags.port < 65536:
        _parser().error("--ranks is 0 or more, --port from 0 to 65535")
    return Settings(
        workspace=Workspace.at(flags.workspace),
        cards=flags.cards.resolve(),
        models_root=flags.models_root.resolve(),
        host=flags.host,
        port=flags.port,
        num_ranks=flags.ranks or _default_num_ranks(flags.cards.resolve(), flags.models_root.resolve()),
        database_url=flags.database_url,
        group=cast(GroupKind, flags.group),
    )


def _default_num_ranks(cards: Path, models_root: Path) -> int:
    """One for each GPU, or the largest number that the models here can use; fewer than the GPUs is logged."""
    num_gpus, heads = num_visible_gpus(), heads_of_models(cards, models_root)
    num_ranks = usable_ranks(num_gpus, heads)
    if num_ranks < num_gpus:
        counts = " and ".join(map(str, sorted(heads)))
        what = f"{num_gpus} GPUs, {num_ranks} ranks: the models here have {counts} attention heads"
        logging.getLogger("engine").warning("%s, which must divide by the ranks. Choose another with --ranks.", what)
    return num_ranks


def bind(settings: Settings) -> socket.socket:
    """A listening socket; with port 0, on the port of last time if it is free, so that addresses outlive restarts."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    for port in dict.fromkeys((settings.port or _last_port(settings.workspace), settings.port)):
        # The protocol is named because asyncio sets TCP_NODELAY only where it is: without, each answer waits 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, port))
            listening.listen(128)
            return listening
        except OSError as error:
            listening.close()
            if port == settings.port:
                problem = f"cannot listen on {settings.host}:{port}: {error.strerror or error}."
                raise PortInUse(f"{problem} Choose another port, or stop what uses this one.") from error
    raise AssertionError("the last port is the one that was asked for")


def _last_port(workspace: Workspace) -> int:
    try:
        address: dict[str, str] = json.loads(workspace.engine_address.read_text())
        return int(address["url"].rpartition(":")[2])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


class Server(uvicorn.Server):
    """Ends event streams when asked to stop; uvicorn alone would wait for them."""

    def __init__(self, config: uvicorn.Config, changes: ChangeSignal) -> None:
        super().__init__(config)
        self._changes = changes

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._changes.close()
        super().handle_exit(sig, frame)


def make_server(
    settings: Settings,
    listening: socket.socket,
    make_group: Callable[[Settings], Group] = make_group,
    ready_fd: int = -1,
) -> Server:
    """An engine over a socket that listens; ``run(sockets=[listening])`` serves until ``handle_exit``."""
    changes = ChangeSignal()
    store = Store(open_database(settings.database), changes.notify)
    store.recover("the engine ended while the job was running; it goes on now.")
    store.prune()
    dispatcher = Dispatcher(settings, store, changes, lambda: make_group(settings))
    models = Models(settings.cards, settings.models_root, settings.workspace.file_hashes, settings.workspace.cards)
    app = make_api(settings, store, changes, models, dispatcher)
    app.router.lifespan_context = lambda _: _lifespan(settings, changes, dispatcher, listening, ready_fd)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3, ws="none")
    return Server(config, changes)


def _serve(settings: Settings, listening: socket.socket, flags: argparse.Namespace) -> int:
    server = make_server(settings, listening, ready_fd=flags.ready_fd)
    _log_to(settings.workspace.logs)
    if flags.until_stdin_closes:
        threading.Thread(target=_stop_with_stdin, args=(server,), daemon=True).start()
    server.run(sockets=[listening])
    return 0


@contextlib.asynccontextmanager
async def _lifespan(
    settings: Settings, changes: ChangeSignal, dispatcher: Dispatcher, listening: socket.socket, ready_fd: int
) -> AsyncGenerator[None]:
    changes.bind(asyncio.get_running_loop())
    dispatcher.start()
    url = _url(settings, listening)
    _announce(settings.workspace, url, ready_fd)
    try:
        yield
    finally:
        changes.close()
        await dispatcher.stop()


def _url(settings: Settings, listening: socket.socket) -> str:
    port: int = listening.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce(workspace: Workspace, url: str, ready_fd: int) -> None:
    """The socket listens already: a request sent from here on is answered."""
    write_text(workspace.engine_address, json.dumps({"url": url, "pid": os.getpid()}))
    if ready_fd >= 0:
        os.write(ready_fd, url.encode() + b"\n")
        os.close(ready_fd)


def _stop_with_stdin(server: Server) -> None:
    while os.read(0, 4096):
        continue
    server.handle_exit(15, None)


def _log_to(folder: Path) -> None:
    """service.log: this process; ranks.log: all that the ranks write."""
    _rotate("ranks.log", folder, logging.getLogger("engine.ranks"), "%(asctime)s %(message)s")
    logging.getLogger("engine.ranks").propagate = False
    _rotate("service.log", folder, logging.getLogger(), "%(asctime)s %(levelname)s %(name)s %(message)s")


def _rotate(name: str, folder: Path, logger: logging.Logger, form: str) -> None:
    handler = RotatingFileHandler(folder / name, maxBytes=LOG_BYTES, backupCount=NUM_LOGS, encoding="utf-8")
    handler.setFormatter(logging.Formatter(form))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
