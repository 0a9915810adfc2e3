"""Times of sides that take turns, and a table that names the machine.

A benchmark has cases, and a case has sides: serjax, and what it stands beside. All sides have the same allocator. They
take turns, in every second round in reverse order. Ratios are taken within a round, so that a machine that slows down
slows both sides; a cell has the median of the rounds, and the lowest and highest. In every row less is better: a ratio
below 1, in bold, means that serjax is ahead.
"""

import argparse
import math
import multiprocessing
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from serjax.runtime.allocator import keep_memory

Call = Callable[[], Any]
Values = dict[str, dict[str, list[float]]]
"""By case and side, a value a round."""
PACKAGES = {
    "torch": "torch",
    "transformers": "transformers",
    "peft": "peft",
    "funasr": "funasr",
    "onnxruntime": "onnxruntime",
    "librosa": "librosa",
}
PACKAGES |= {"sklearn": "scikit-learn", "cv2": "opencv-python-headless", "skimage": "scikit-image"}
"""Modules of others, and the packages that they come in."""


def parser(description: str | None, *, rounds: int, turn: float = 1.0) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have; the first line of `description` is its title."""
    found = argparse.ArgumentParser(description=(description or "").partition("\n")[0], allow_abbrev=False)
    found.add_argument("--rounds", type=int, default=rounds, help="turns of each side")
    found.add_argument("--turn", type=float, default=turn, help="seconds of a turn, at least; one call at least")
    found.add_argument("--tables", type=Path, help="folder of a file NAME-RATE.md that the table is written to")
    return found


def installed(needs: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the sides whose modules are installed, and a sentence for each of the others."""
    missing = {side: [name for name in modules if find_spec(name) is None] for side, modules in needs.items()}
    told = [f"{side} is left out; it needs {', '.join(names)}." for side, names in missing.items() if names]
    return [side for side, names in missing.items() if not names], told


def clock(call: Call, turn: float = 0.0, *, again: bool = True) -> float:
    """Return the median seconds of the calls of a turn.

    Args:
        call: computes, and waits for the result.
        turn: seconds that the calls take together, at least.
        again: call once before the clock starts, which compiles, and fills the caches that other sides have emptied.
    """
    if again:
        call()
    times: list[float] = []
    while not times or sum(times) < turn:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times)


def in_turns(cases: Mapping[str, Mapping[str, Callable[[], float]]], rounds: int) -> Values:
    """Let the sides take turns; each tells its value of a case."""
    values: Values = {case: {side: [] for side in sides} for case, sides in cases.items()}
    for number in range(rounds):
        for case, sides in cases.items():
            for side in list(sides)[:: -1 if number % 2 else 1]:
                values[case][side].append(sides[side]())
    return values


class Side:
    """A side in a process of its own."""

    def __init__(self, name: str, make: Callable[..., Mapping[str, Call]], *arguments: Any) -> None:
        """Start it, and wait until `make` has returned its cases there."""
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # sides share the memory of a GPU
        spawn = multiprocessing.get_context("spawn")
        self.name = name
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, make, arguments))
        self._process.start()
        theirs.close()
        self.cases: list[str] = self._answer()

    def ask(self, case: str, turn: float | None = None) -> Any:
        """Return the seconds of a case; without `turn`, what it returns."""
        self._pipe.send((case, turn))
        return self._answer()

    def _answer(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.name} has stopped; see above.") from None

    def stop(self) -> None:
        """End the process; one that is still computing is killed."""
        self._pipe.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, make: Callable[..., Mapping[str, Call]], arguments: tuple[Any, ...]) -> None:
    keep_memory()
    calls = make(*arguments)
    pipe.send(list(calls))
    with suppress(EOFError):  # nobody asks any more
        while True:
            case, turn = pipe.recv()
            pipe.send(calls[case]() if turn is None else clock(calls[case], turn))


@contextmanager
def processes(makers: Mapping[str, tuple[Any, ...]]) -> Iterator[list[Side]]:
    """Run each side in a process; a maker is what `Side` takes after the name."""
    with ExitStack() as stack:
        sides = []
        for name, maker in makers.items():
            sides.append(Side(name, *maker))
            stack.callback(sides[-1].stop)
        yield sides


def turns_of(sides: Sequence[Side], cases: Sequence[str], turn: float) -> dict[str, dict[str, Callable[[], float]]]:
    """Return the turns of sides in processes, for `in_turns`."""
    return {case: {side.name: partial(side.ask, case, turn) for side in sides if case in side.cases} for case in cases}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the median of the ratios within rounds, bold below 1, with the lowest and highest."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = _ratio(median(pairs))
    return (f"**{middle}**" if float(middle) < 1 else middle) + _around(pairs, _ratio)


def amounts(values: Sequence[float], unit: str = "s") -> str:
    """Return the median with its unit, with the lowest and highest; seconds also as ms or µs."""
    scale = 1.0
    if unit == "s" and median(values) < 1:
        scale, unit = (1e3, "ms") if median(values) >= 1e-3 else (1e6, "µs")
    return f"{_digits(scale * median(values))} {unit}".strip() + _around(values, lambda value: _digits(scale * value))


def _around(values: Sequence[float], show: Callable[[float], str]) -> str:
    return f" ({show(min(values))} to {show(max(values))})" if len(values) > 1 else ""


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _digits(value: float) -> str:
    places = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{places}f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is of text."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def comparison(
    values: Values,
    own: str = "serjax",
    *,
    units: Mapping[str, str] | None = None,
    more: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Return a table with a row a case: ratios of `own` to the other sides, then the values of all.

    Args:
        values: of the rounds.
        own: the side that the others are compared with.
        units: of cases whose values are not seconds.
        more: columns between ratios and values: title, and text by case.
    """
    sides = [own, *dict.fromkeys(side for by in values.values() for side in by if side != own)]
    units, more = units or {}, more or {}
    rows = []
    for case, by in values.items():
        cells = [ratios(by[own], by[peer]) if peer in by else "" for peer in sides[1:]]
        cells += [texts.get(case, "") for texts in more.values()]
        rows.append([case, *cells, *(amounts(by[side], units.get(case, "s")) if side in by else "" for side in sides)])
    return markdown(["", *(f"{own} / {peer}" for peer in sides[1:]), *more, *sides], rows)


def matrix_rate() -> float:
    """Return the floating-point operations a second of a product of two large float32 matrices: the best of five."""
    import jax
    import jax.numpy as jnp

    size = 2048
    matrix, product = jnp.ones((size, size)), jax.jit(jnp.matmul)
    call = lambda: product(matrix, matrix).block_until_ready()  # noqa: E731
    return 2 * size**3 / min(clock(call, again=not number) for number in range(5))


def machine(rate: float, modules: Sequence[str] = ()) -> str:
    """Return a sentence on the processor, its rate, and the versions of what is used."""
    import jax

    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if platform.system() == "Linux" else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo)}
    flags = {"avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}
    kind = [f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    kind += [name for flag, name in flags.items() if flag in facts.get("flags", "").split()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = f"{cores} cores of {facts.get('model name', platform.machine())} ({', '.join(kind) or 'unknown'})"
    if (device := jax.devices()[0]).platform != "cpu":
        processor += f", {device.device_kind}"
    packages = ["jax", "flax", *(PACKAGES[module] for module in modules if find_spec(module))]
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    system = f"{platform.system()}, Python {platform.python_version()}, {versions}"
    return f"{processor}; {rate / 1e9:.0f} GFLOP/s in products of large float32 matrices; {system}."


def publish(
    parts: Sequence[str], options: argparse.Namespace, modules: Sequence[str] = (), rate: float | None = None
) -> None:
    """Print tables and sentences below a line on command and machine; with --tables, write them to a file too.

    Args:
        parts: paragraphs of Markdown.
        options: of the command line.
        modules: of other sides, whose versions are told.
        rate: of the machine, where it has been measured already.
    """
    rate, script = rate or matrix_rate(), Path(sys.argv[0])
    command = shlex.join(["python", f"benchmarks/{script.name}", *sys.argv[1:]])
    text = "\n\n".join([f"`{command}`", machine(rate, modules), *filter(None, parts)]) + "\n"
    print(text, flush=True)
    if options.tables:
        options.tables.mkdir(parents=True, exist_ok=True)
        # One significant digit: the rate of one machine differs by a tenth from run to run.
        (options.tables / f"{script.stem}-{float(f'{rate / 1e9:.0e}'):.0f}.md").write_text(text)
