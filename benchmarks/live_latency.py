"""Delay of live answers: from the last sample of a hop to the answer for the window that ends with it.

    python benchmarks/live_latency.py [--family hubert --size base --answers 100]

A classifier with random weights hears windows of 3 s (`serjax.load(...).stream`), every 0.5 s and every 1 s, in float32
and in bfloat16. Sound is pushed in chunks of 20 ms as a microphone gives it, at its own speed (`--paced`) or as fast as
answers come; the chunk that completes a window is timed until its answer is there. p50 and p95 of the answers for full
windows; from p95 above the hop on, windows are skipped.
"""

import tempfile
import time
from pathlib import Path

import harness
import numpy as np
from encoder_start import write_classifier

from serjax.audio import SAMPLE_RATE
from serjax.inference.load import load
from serjax.runtime.allocator import keep_memory

WINDOW, CHUNK = 3.0, 0.02


def delays(model: Path, dtype: str, hop: float, answers: int, *, paced: bool) -> list[float]:
    """Return the seconds to each answer for a full window."""
    stream = load(model, dtype=dtype).stream(SAMPLE_RATE, WINDOW, hop)
    stream.warm_up()
    rng, size, found = np.random.default_rng(0), round(CHUNK * SAMPLE_RATE), []
    began, pushed = time.perf_counter(), 0
    while len(found) < answers:
        chunk = rng.normal(0, 0.1, size).astype(np.float32)
        pushed += size
        if paced and (early := began + pushed / SAMPLE_RATE - time.perf_counter()) > 0:
            time.sleep(early)
        start = time.perf_counter()
        rows = stream.push(chunk)
        seconds = time.perf_counter() - start
        found += [seconds for row in rows if row.end - row.start >= WINDOW]
    return found


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--family", default="hubert")
    parser.add_argument("--size", default="base")
    parser.add_argument("--answers", type=int, default=100, help="answers of each row")
    parser.add_argument("--paced", action="store_true", help="push sound at its own speed")
    options = parser.parse_args()
    keep_memory()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        write_classifier(options.family, options.size, model)
        for dtype in ("float32", "bfloat16"):
            for hop in (0.5, 1.0):
                found = [
                    one
                    for _ in range(options.rounds)
                    for one in delays(model, dtype, hop, options.answers, paced=options.paced)
                ]
                cells = [f"{1e3 * np.percentile(found, share):.0f} ms" for share in (50, 95, 100)]
                rows.append([f"{dtype}, hop {hop:g} s", *cells])
    speed = "at its own speed" if options.paced else "as fast as answers come"
    about = f"{options.family} {options.size}, windows of {WINDOW:g} s, {options.answers} answers a row, sound {speed}."
    harness.publish([about, harness.markdown(["", "p50", "p95", "longest"], rows)], options)


if __name__ == "__main__":
    main()
