"""Embeddings of clips, into a table or an array: `python -m serjax.embed MODEL CLIP... --out features.parquet`."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serjax import cli
from serjax.config import arguments
from serjax.runtime.errors import UserError, readable

if TYPE_CHECKING:
    from serjax.inference.embedded import EmbeddedClip

log = logging.getLogger("serjax.embed")

POOLS = ("mean", "std", "stat", "max", "none")

PARSER = arguments.Parser(
    prog="python -m serjax.embed",
    description="Embeddings of clips: a vector a clip from a layer of a speech encoder, or the vector that the "
    "classifiers of a run take.",
    epilog="A .parquet or .csv file has the columns clip, seconds, digest (hash of the samples) and f0, f1, ...; a "
    ".npz file arrays of these names and vectors [clips values]; a .npy file the vectors, and NAME.npy.json the rest. "
    "What is computed is kept in the cache by the clips' samples: a call that was stopped goes on where it was, and "
    "further clips, or a file of another kind, cost only what is new.",
)
PARSER.add_argument("model", help=arguments.MODEL_HELP)
PARSER.add_argument(
    "clips",
    nargs="+",
    help="sound files or their URLs; folders, for all recordings below them; lists of paths (.txt, .tsv, .csv, or any "
    "file as @FILE)",
)
PARSER.add_argument(
    "--out",
    type=Path,
    required=True,
    help="NAME.parquet, .csv, .npz or .npy; with --pool none NAME.npz, or a folder for a .npy file a clip",
)
PARSER.add_argument(
    "--layer",
    nargs="+",
    metavar="N",
    help="hidden states, counted as transformers does: 0 is the first block's input, 9 the output of the ninth, -1 "
    "the last; several stand side by side; or head: what a classifier takes, a vector a fold. Default: head of a run, "
    "-1 of another model",
)
PARSER.add_argument(
    "--pool",
    choices=POOLS,
    help="from frames to a vector: their mean, standard deviation, both side by side (stat), largest values; or none, "
    "for all frames. Default: mean",
)
PARSER.add_argument("--cache", type=Path, help="folder of what is computed; default: embedding-cache beside --out")


def main(argv: Sequence[str]) -> int:
    """Write the embeddings of the clips that the command line names."""
    options = PARSER.parse_args(argv)
    layers = _layers(options.layer)
    cli.show_log()

    from serjax.inference.clips import find_clips
    from serjax.inference.embedded import EmbeddingCache, embed_clips
    from serjax.inference.embedding import load_embedder
    from serjax.inference.embedding_files import check_settings, check_suffix, write

    check_suffix(options.out, frames=options.pool == "none")
    clips, notes = find_clips(options.clips)
    clips = [clip._replace(name=readable(clip.name)) for clip in clips]
    embedder = load_embedder(options.model, layers, options.pool)
    check_settings(options.out, embedder.settings)
    for note in (*notes, *embedder.notes):
        log.warning(note)
    cache = EmbeddingCache(options.cache or options.out.parent / "embedding-cache", embedder.settings.key)
    rows = embed_clips(embedder, clips, cache)
    for note in _notes(rows, embedder.windowed):
        log.warning(note)
    found = [row for row in rows if row.error is None]
    if not found:
        raise UserError(f"none of {len(rows)} clips can be read; see above.")
    width = cache[found[0].digest].shape[-1]
    write(options.out, found, cache, embedder.columns(width), embedder.settings)
    what = "frames" if options.pool == "none" else "vectors"
    log.info(f"Written: {what} of {len(found)} clips, {width} values each, to {options.out}")
    return 0 if len(found) == len(rows) else 2


def _layers(given: Sequence[str] | None) -> Sequence[int] | Literal["head"] | None:
    """Return the layers that --layer names.

    Raises:
        UserError: something else than numbers, or head.
    """
    if given is None or list(given) == ["head"]:
        return None if given is None else "head"
    try:
        return [int(one) for one in given]
    except ValueError:
        wrong = next(one for one in given if not one.lstrip("-").isdecimal())
        raise UserError(f"--layer: got {wrong}; give numbers, or head alone. Clips stand before the options.") from None


def _notes(rows: "Sequence[EmbeddedClip]", windowed: str) -> list[str]:
    """Return sentences on clips that cannot be read, or were resampled or cut."""
    from serjax.audio import SAMPLE_RATE

    notes = [note for row in rows for note in (*row.notes, *([] if row.error is None else [row.error]))]
    several = sum(row.pieces > 1 for row in rows)
    if several:
        notes.append(f"{_count(several)} {windowed}.")
    rates = Counter(row.rate for row in rows if row.error is None and row.rate != SAMPLE_RATE)
    notes += [f"{_count(rates[rate])} resampled from {rate:g} Hz to {SAMPLE_RATE} Hz." for rate in sorted(rates)]
    return notes


def _count(clips: int) -> str:
    return "1 clip was" if clips == 1 else f"{clips} clips were"


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on where it was.")
