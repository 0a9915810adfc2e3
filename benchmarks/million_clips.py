"""Time and memory of what is done with a list of a million clips before any is decoded.

    python benchmarks/million_clips.py [--clips 1000000 --speakers 10000 --files 10000 --folds 5]

The list is a CSV with the columns id, path, label, speaker, start and end; a clip is a stretch of one of as many empty
files. The steps are those of serjax.train, one after the other in one process: the list is read, folds are made and
checked for leakage (with a digest a clip in place of samples), folds.json is written, and all of it is hashed for the
run's folder. Peak is the most memory that the process had during the step; kept is what it has after it.
"""

import contextlib
import gc
import hashlib
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.folds.fold import read_parts, save_folds
from serjax.data.folds.leakage import check_folds
from serjax.data.folds.make import make_folds
from serjax.runtime.fingerprint import fingerprint

LABELS = ("anger", "happy", "neutral", "sad")
MEBI = 2**20


def write_list(folder: Path, clips: int, speakers: int, files: int) -> Path:
    """Write a list, and the empty files that it names."""
    for number in range(files):
        path = folder / f"{number % 100:02}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    rng, path = random.Random(0), folder / "clips.csv"
    with path.open("w") as file:
        file.write("id,path,label,speaker,start,end\n")
        for i in range(clips):
            number, start = i % files, 3 * (i // files)
            speaker = f"spk{rng.randrange(speakers)}"
            wav = f"{number % 100:02}/{number}.wav"
            file.write(f"clip{i},{wav},{rng.choice(LABELS)},{speaker},{start},{start + 3}\n")
    return path


def memory() -> tuple[float, float]:
    """Return the memory of this process and the most it had since `forget`, in MiB."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
        return int(lines["VmRSS"].split()[0]) / 1024, int(lines["VmHWM"].split()[0]) / 1024
    except (OSError, KeyError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return most, most


def forget() -> None:
    """Begin to measure the most memory anew, where the system can do that."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--clips", type=int, default=1_000_000, help="lines of the list")
    parser.add_argument("--speakers", type=int, default=10_000, help="speakers in it")
    parser.add_argument("--files", type=int, default=10_000, help="files of which clips are stretches")
    parser.add_argument("--folds", type=int, default=5, help="folds")
    options = parser.parse_args()
    rows: dict[str, list[str]] = {}

    def step(name: str, call: Callable[[], Any]) -> Any:
        forget()
        began = time.perf_counter()
        found = call()
        seconds = time.perf_counter() - began
        _, peak = memory()
        gc.collect()
        rows[name] = [f"{seconds:.1f} s", f"{peak:.0f} MiB", f"{memory()[0]:.0f} MiB"]
        return found

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = write_list(folder, options.clips, options.speakers, options.files)
        step("start", lambda: None)
        corpus = step("read the list", lambda: read_corpus(DataConfig(root=str(path))))
        clips = corpus.utterances
        settings = FoldsConfig(count=options.folds)
        folds = step("make folds", lambda: make_folds(clips, settings, 0))
        hashes = tuple(hashlib.blake2b(clip.id.encode(), digest_size=16).hexdigest() for clip in clips)
        checked, _ = step("check for leakage", lambda: check_folds(folds, clips, hashes, allow_speaker_overlap=False))
        del folds
        labels = corpus.labels
        step("classes", lambda: np.array([labels.index(clip.label) for clip in clips], np.int32))
        step("write folds.json", lambda: save_folds(folder / "folds.json", checked, clips, kind="speaker", seed=0))
        step("read folds.json", lambda: read_parts(folder / "folds.json"))
        step("hash", lambda: fingerprint(hashes, checked))
        digest = hashlib.blake2b((folder / "folds.json").read_bytes(), digest_size=8).hexdigest()
    table = harness.markdown(["step", "time", "peak", "kept"], [[name, *cells] for name, cells in rows.items()])
    facts = f"{options.clips} clips in {options.files} files, {options.speakers} speakers, {options.folds} folds; "
    harness.publish([f"{facts}folds.json has the hash {digest}.", table], options)


if __name__ == "__main__":
    main()
