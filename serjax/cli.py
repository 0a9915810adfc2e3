"""Command lines: `serjax COMMAND`, finding the experiment, and turning errors into a sentence and an exit status."""

import argparse
import contextlib
import difflib
import logging
import os
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

# What takes long to import is imported by the functions that need it: help and errors are there at once.
from serjax.runtime import distributed
from serjax.runtime.allocator import keep_memory
from serjax.runtime.environment import cache_folder, output_lost, show_any_text, with_home
from serjax.runtime.errors import UserError, printable
from serjax.runtime.preemption import Terminated, TerminatedAtOnce, heed_signals, heed_signals_among_processes
from serjax.runtime.version import __version__

if TYPE_CHECKING:
    from serjax.config.registry import Kind
    from serjax.runtime.hosts import Hosts

log = logging.getLogger(__name__)


def commands() -> dict[str, str]:
    """Return the names of all commands and what each does, from the docstrings of the modules beside this one."""
    from serjax.config.overview import summary

    doors = sorted(path for path in Path(__file__).parent.glob("[!_]*.py") if path.name != "cli.py")
    return {path.stem: summary(path).partition(": `")[0].rstrip(".") for path in doors}


def main(argv: Sequence[str]) -> int:
    """Run `serjax COMMAND ...`, which is `python -m serjax.COMMAND ...`.

    Raises:
        UserError: there is no such command; it names the nearest.
    """
    known = commands()
    match list(argv):
        case ["--version"]:
            print(f"serjax {__version__}")
        case [] | ["-h" | "--help"]:
            column = max(map(len, known))
            print("usage: serjax COMMAND ..., or python -m serjax.COMMAND ...\n\ncommands:")
            print("\n".join(f"  {name:<{column}}  {text}" for name, text in known.items()))
            print("\nOptions: serjax COMMAND --help. Version: serjax --version.")
        case [name, *rest] if name in known:
            sys.argv = [name, *rest]
            runpy.run_module(f"serjax.{name}", run_name="__main__", alter_sys=True)
        case [name, *_]:
            near = difflib.get_close_matches(name, known, 1)
            found = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            raise UserError(f"serjax {name}: there is no such command; {found}")
    return 0


def script() -> None:
    """Run the command `serjax` with the arguments of the process, and exit."""
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except UserError as error:
        _print_error(str(error))
        status = 2
    except OSError as error:
        lost = _output_status(error)
        if lost is None:
            raise
        status = lost
    sys.exit(status)


def join(hosts: "Hosts") -> None:
    """Join the processes of a run, and show the log of the first of them.

    Raises:
        UserError: options that do not fit, or processes that do not come.
    """
    from serjax.runtime.constraints import validate

    validate(hosts)
    distributed.join(hosts, _print_error)
    if distributed.several():
        heed_signals_among_processes()
    if distributed.first():
        show_log()
    else:
        logging.getLogger("serjax").setLevel(logging.CRITICAL)


def parse(module: str, argv: Sequence[str], kind: "type[Kind]", default: str, own: Sequence[str] = ()) -> "Kind":
    """Return the experiment that `--exp` names, with the other arguments laid over its fields.

    Where `--hosts` or a scheduler names other processes, this one joins them; the first of them alone shows the log.

    Args:
        module: whose command line it is.
        argv: the arguments.
        kind: of experiment.
        default: whose options --help all shows when none is named.
        own: names of options of the command itself, which have been taken out of `argv`.

    Raises:
        UserError: no --exp, or one that does not exist; an option that does not exist, or a value that does not fit; or
            other processes do not come.
        SystemExit: --help.
    """
    import tyro

    from serjax.config.options import choose_families, field_name, option_names, refuse_old_names, refuse_unknown
    from serjax.config.overview import overview
    from serjax.config.parse_errors import tyro_sentences
    from serjax.config.registry import locate, names, read
    from serjax.runtime.hosts import Hosts

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--exp")
    known, rest = parser.parse_known_args(list(argv))
    known_names = ", ".join(names(kind))
    rest, asked = help_asked(rest)
    if asked == "short":
        print(overview(f"python -m {module}", kind, known.exp), end="")
        raise SystemExit(0)
    if known.exp is None and asked is None:
        raise UserError(f"--exp is missing: give --exp NAME, one of {known_names}, or a .py file.")
    refuse_old_names(rest)
    name = known.exp or default
    path = locate(name, kind)
    settings = choose_families(read(path, kind), rest)
    refuse_unknown(settings, rest, option_names(Hosts(), "hosts.") | {"exp"} | set(map(field_name, own)))
    # Where a run is computed is no part of its settings.
    command: Any = make_dataclass(
        "Command",
        [("settings", Annotated[kind, tyro.conf.arg(name="")]), ("hosts", Hosts)],
    )
    prog = f"python -m {module} --exp {name}"
    with tyro_sentences(prog):
        found = tyro.cli(
            tyro.conf.AvoidSubcommands[command],  # type: ignore[misc]
            default=command(settings, Hosts()),
            args=rest,
            prog=prog,
            description=f"Experiments: {known_names}. Defaults below are those of {name}.",
        )
    join(found.hosts)
    log.info(f"Experiment: {path}")
    chosen: Kind = found.settings
    return chosen


def help_asked(argv: list[str]) -> tuple[list[str], Literal["short", "all"] | None]:
    """Return the arguments with `--help` in place of `--help all`, and which help they ask for."""
    for at, argument in enumerate(argv):
        if argument in ("-h", "--help"):
            everything = argv[at + 1 : at + 2] == ["all"]
            return ["--help", *argv[:at], *argv[at + 1 + everything :]], "all" if everything else "short"
    return argv, None


class _Sentences(logging.Handler):
    """Prints messages as they are: warnings and errors on standard error, others on standard output or there too."""

    def __init__(self, *, stdout: bool) -> None:
        """Print what is no warning on standard output, or on standard error too."""
        super().__init__()
        from rich.console import Console

        from serjax.runtime.progress import console

        self._errors = Console(stderr=True)
        self._others = console if stdout else self._errors

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        from rich.text import Text

        target = self._errors if record.levelno >= logging.WARNING else self._others
        target.print(Text(printable(record.getMessage())), soft_wrap=True)


def show_log(*, stdout: bool = True) -> None:
    """Print what serjax logs from now on, with bars; standard output stays free where `stdout` is False."""
    from serjax.runtime.progress import show_progress

    logger = logging.getLogger("serjax")
    for old in [handler for handler in logger.handlers if isinstance(handler, _Sentences)]:
        logger.removeHandler(old)
    logger.addHandler(_Sentences(stdout=stdout))
    logger.setLevel(logging.INFO)
    show_progress(stdout)


def compilation_cache() -> None:
    """Keep compiled programs between processes, in SERJAX_CACHE or the user's cache folder."""
    try:
        folder = cache_folder()
    except UserError as error:
        say(str(error))
        return
    settings = {"jax_compilation_cache_dir": folder, "jax_persistent_cache_min_compile_time_secs": 0.5}
    for name, value in settings.items():
        if "jax" in sys.modules:
            sys.modules["jax"].config.update(name, value)
        else:
            os.environ[name.upper()] = str(value)


def heed_ctrl_c() -> None:
    """Let no Ctrl-C be lost where Python cannot raise: in finalizers, and in JAX's callback of the garbage collector.

    There Python prints the exception and goes on; here it is raised again a moment later, when that code is left,
    this hook too: an exception in a hook is dropped as well.
    """
    before = sys.unraisablehook

    def again(what: "sys.UnraisableHookArgs") -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            number = signal.SIGTERM if issubclass(what.exc_type, Terminated) else signal.SIGINT
            threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, number)).start()
        else:
            before(what)

    sys.unraisablehook = again


def run(main: Callable[[Sequence[str]], int], stopped: str = "stopped.") -> None:
    """Call an entry point with the command line's arguments, and exit.

    The status is 2 after a `UserError`, 130 after Ctrl-C, 141 where nobody reads the output any more, 143 after SIGTERM
    and SIGHUP. Other processes of the same run end with it.

    Args:
        main: takes the arguments, returns the exit status.
        stopped: what to say after Ctrl-C and those signals.
    """

    def end(status: int) -> None:
        _end(status, stopped, lambda: print(stopped, file=sys.stderr, flush=True))

    def end_stuck() -> None:
        end(143)
        os._exit(143)

    try:
        # Orbax and gcsfs log tracebacks of errors that they also raise, and that are answered with a sentence.
        for name in ("absl", "gcsfs"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # Some packages give the root logger a handler, which would print everything again.
        logging.getLogger("serjax").propagate = False
        keep_memory()
        heed_ctrl_c()
        heed_signals(end_stuck)
        compilation_cache()
        show_any_text()
        status = main(with_home(sys.argv[1:]))
        sys.stdout.flush()
    except UserError as error:
        _end(2, str(error), lambda: _print_error(str(error)))
        status = 2
    except TerminatedAtOnce:
        status = 143
        end(status)
    except Terminated:
        # All processes stopped after the same step, and the first of them speaks.
        status = 143
        if distributed.first():
            print(stopped, file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
        end(status)
    except Exception as error:
        lost = _output_status(error)
        if lost is None and not distributed.several():
            raise
        if lost is None and distributed.lost(error):
            _end(1, "", lambda: _print_error(distributed.LOST))
        if lost is None:
            _end(1, f"it failed with {type(error).__name__}; see its output.", lambda: traceback.print_exc())
        status = lost or 1
    distributed.finish()
    if status in (130, 143):
        _leave(status)
    sys.exit(status)


def _leave(status: int) -> None:
    """End after an interruption, as soon as threads that write are done.

    What was interrupted in JAX is not taken apart: where it still compiles in a thread of its own, that would crash.
    All is said by now: what Orbax's threads print of a write that broke off with its event loop is not shown.
    """
    with contextlib.suppress(OSError):
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with contextlib.suppress(KeyboardInterrupt):
        threading._shutdown()  # type: ignore[attr-defined] # what the interpreter itself waits for
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def _end(status: int, sentence: str, say: Callable[[], None]) -> None:
    """Say why this process ends before its time; one of several tells the others, and ends here."""
    if distributed.tell_end(status, sentence):
        say()
    distributed.leave(status)


def say(sentence: str) -> None:
    """Print a sentence on standard error; where that is full or closed, answers go on without it."""
    with contextlib.suppress(OSError):
        print(printable(sentence), file=sys.stderr, flush=True)


def _output_status(error: Exception) -> int | None:
    """Return the exit status where standard output failed, None for other errors.

    It is said, but for a reader that has enough, as `head` has.
    """
    why = output_lost(error) if isinstance(error, OSError) else None
    if why is None:
        return None
    if isinstance(error, BrokenPipeError):
        return 141
    _print_error(f"standard output cannot be written ({why}), so that answers are lost; write them elsewhere.")
    return 2


def _print_error(sentence: str) -> None:
    from rich.console import Console

    with contextlib.suppress(OSError):
        Console(stderr=True).print("[bold red]error:[/] ", end="")
    say(sentence)
