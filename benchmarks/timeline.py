"""How fast a long recording is answered, window by window, and how much memory that takes beside the model.

    python benchmarks/timeline.py [--minutes 1 --size base --window 3 --hops 1 3 --dtypes float32 bfloat16 --calls 8]

A classifier with random weights answers a WAV file of noise at 44.1 kHz, which is read and resampled as by
`serjax.predict --timeline`, with and without overlap of the windows. Each dtype runs in a process of its own. Times
real time: seconds of the recording by seconds of the run, compilation apart. Memory: the highest resident size during
a run, the first included, which compiles, less that of the process before the model was loaded and less the model's
parameters. Floor: the operations of all windows, as XLA counts them, at the rate of a large float32 matrix product.
"""

import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import harness
import jax
import numpy as np
import soundfile
from encoder_start import write_classifier

from serjax.audio.stream import open_stream
from serjax.inference import batched
from serjax.inference.load import load
from serjax.inference.timeline import answer_windows, check_window

RATE = 44_100
OPERATIONS = "operations of a window"


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096


def highest(call: Callable[[], Any]) -> tuple[float, int]:
    """Return the seconds of a call, and the most bytes that are in memory meanwhile, looked at 50 times a second."""
    most, done = resident(), threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, resident())

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.perf_counter()
    try:
        call()
    finally:
        taken = time.perf_counter() - began
        done.set()
        watching.join()
    return taken, max(most, resident())


def make(
    folder: str, recording: str, dtype: str, window: float, hops: list[float], calls: list[int]
) -> dict[str, Callable[[], Any]]:
    """Load the model; cases answer the recording and return seconds, bytes beside the model and windows.

    One case more returns the operations of a window.
    """
    jax.numpy.ones(8).sum().block_until_ready()
    empty = resident()
    model = load(folder, dtype=dtype)
    models = model._models
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves((models.params, models.shared)))

    def answer(hop: float, most: int) -> tuple[float, int, int]:
        batched.BATCH = most
        count = 0

        def run() -> None:
            nonlocal count
            with open_stream(recording) as stream:
                count = sum(1 for _ in answer_windows(model, stream, window, hop))

        taken, memory = highest(run)
        return taken, memory - empty - weights, count

    def operations() -> float:
        length, _ = check_window(model, window, window)
        inputs = batched.join([np.zeros(length, np.float32)], longest=length)
        options = {"graphdef": models.graphdef, "dtype": models.dtype}
        compiled = model._logits.lower(models.params, models.shared, inputs, **options).compile()
        return float(compiled.cost_analysis()["flops"])

    cases = {case(hop, most): partial(answer, hop, most) for hop in hops for most in calls}
    return {**cases, OPERATIONS: operations}


def case(hop: float, most: int) -> str:
    return f"a window every {hop:g} s, {most} a call"


def main() -> None:
    parser = harness.parser(__doc__, rounds=3)
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the recording")
    parser.add_argument("--family", default="hubert")
    parser.add_argument("--size", default="base")
    parser.add_argument("--window", type=float, default=3.0, help="length of a window, in s")
    parser.add_argument("--hops", type=float, nargs="+", default=[1.0, 3.0], help="from one window to the next, in s")
    parser.add_argument("--calls", type=int, nargs="+", default=[batched.BATCH], help="windows a call, at most")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    options = parser.parse_args()
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory() as name:
        folder, recording = Path(name) / "model", Path(name) / "recording.wav"
        write_classifier(options.family, options.size, folder)
        rng = np.random.default_rng(0)
        with soundfile.SoundFile(recording, "w", RATE, 1, "PCM_16") as file:
            for start in range(0, round(seconds * RATE), 60 * RATE):
                file.write(rng.normal(0, 0.1, min(60 * RATE, round(seconds * RATE) - start)))
        rate, rows = harness.matrix_rate(), []
        for dtype in options.dtypes:
            arguments = (str(folder), str(recording), dtype, options.window, options.hops, options.calls)
            with harness.processes({dtype: (make, *arguments)}) as (side,):
                cases = [one for one in side.cases if one != OPERATIONS]
                first = {one: side.ask(one) for one in cases}
                turns = {one: {dtype: partial(side.ask, one)} for one in cases}
                found = harness.in_turns(turns, options.rounds)
                each = side.ask(OPERATIONS)
            for one in cases:
                times, memory, windows = zip(*found[one][dtype], strict=True)
                rows.append(
                    [
                        f"{dtype}, {one}",
                        harness.amounts([seconds / taken for taken in times], ""),
                        harness.amounts(times),
                        harness.amounts([taken / windows[0] for taken in times]),
                        f"{100 * each * windows[0] / rate / median(times):.0f}%",
                        f"{max(first[one][1], *memory) / 2**20:,.0f}",
                    ]
                )
    head = ["", "times real time", "whole recording", "a window", "floor reached", "memory beside the model, MiB"]
    facts = f"{options.family} {options.size}, {options.minutes:g} minutes, windows of {options.window:g} s."
    harness.publish([facts, harness.markdown(head, rows)], options, rate=rate)


if __name__ == "__main__":
    main()
