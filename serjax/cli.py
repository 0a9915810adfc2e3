"""What the command lines share: finding the experiment, and turning errors into a sentence and an exit status."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import tyro
from rich.console import Console
from rich.text import Text

from serjax.config.options import choose_families, refuse_old_names
from serjax.config.registry import Kind, locate, names, read
from serjax.runtime.allocator import keep_memory
from serjax.runtime.errors import UserError
from serjax.runtime.progress import console, show_progress

log = logging.getLogger(__name__)

errors = Console(stderr=True)
"""Standard error."""


def parse(module: str, argv: Sequence[str], kind: type[Kind], default: str) -> Kind:
    """Return the experiment that `--exp` names, with the other arguments laid over its fields.

    Args:
        module: whose command line it is.
        argv: the arguments.
        kind: of experiment.
        default: whose options --help shows when none is named.

    Raises:
        UserError: no --exp, or one that does not exist.
        SystemExit: --help, or an argument that does not fit (tyro says which).
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--exp")
    known, rest = parser.parse_known_args(list(argv))
    known_names = ", ".join(names(kind))
    wants_help = "-h" in rest or "--help" in rest
    if known.exp is None and not wants_help:
        raise UserError(f"--exp is missing: give --exp NAME, one of {known_names}, or a .py file.")
    refuse_old_names(rest)
    name = known.exp or default
    path = locate(name, kind)
    found: Kind = tyro.cli(
        tyro.conf.AvoidSubcommands[kind],  # type: ignore[misc, valid-type]
        default=choose_families(read(path, kind), rest),
        args=rest,
        prog=f"python -m {module} --exp {name}",
        description=f"Experiments: {known_names}. Defaults below are those of {name}.",
    )
    show_log()
    log.info(f"Experiment: {path}")
    return found


class _Sentences(logging.Handler):
    """Prints messages as they are: warnings and errors on standard error, others on standard output or there too."""

    def __init__(self, others: Console) -> None:
        """Print what is no warning on the console `others`."""
        super().__init__()
        self._others = others

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        target = errors if record.levelno >= logging.WARNING else self._others
        target.print(Text(record.getMessage()), soft_wrap=True)


def show_log(*, stdout: bool = True) -> None:
    """Print what serjax logs from now on, with bars; standard output stays free where `stdout` is False."""
    log = logging.getLogger("serjax")
    for old in [handler for handler in log.handlers if isinstance(handler, _Sentences)]:
        log.removeHandler(old)
    log.addHandler(_Sentences(console if stdout else errors))
    log.setLevel(logging.INFO)
    show_progress(stdout)


def compilation_cache() -> None:
    """Keep compiled programs between processes, in SERJAX_CACHE or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = os.environ.get("SERJAX_CACHE") or Path(home) / "serjax" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def heed_ctrl_c() -> None:
    """Let no Ctrl-C be lost where Python cannot raise: in finalizers, and in JAX's callback of the garbage collector.

    There Python prints the exception and goes on; here it is raised again a moment later, when that code is left,
    this hook too: an exception in a hook is dropped as well.
    """
    before = sys.unraisablehook

    def again(what: "sys.UnraisableHookArgs") -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        else:
            before(what)

    sys.unraisablehook = again


def run(main: Callable[[Sequence[str]], int], stopped: str = "stopped.") -> None:
    """Call an entry point with the command line's arguments and exit: 2 after a `UserError`, 130 after Ctrl-C.

    Args:
        main: takes the arguments, returns the exit status.
        stopped: what to say after Ctrl-C.
    """
    try:
        # Orbax logs tracebacks of errors that it also raises, and that are answered with a sentence.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        # Some packages give the root logger a handler, which would print everything again.
        logging.getLogger("serjax").propagate = False
        keep_memory()
        heed_ctrl_c()
        compilation_cache()
        status = main(sys.argv[1:])
    except UserError as error:
        errors.print("[bold red]error:[/] ", end="")
        print(error, file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        status = 130
    sys.exit(status)
