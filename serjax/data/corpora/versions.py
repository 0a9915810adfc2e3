"""Versions of the same recordings in folders beside one another, such as clean and augmented."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from serjax.runtime.errors import UserError, one_of, reason

_WORDS = frozenset(
    """
    aug augmented augmentation augment clean noisy noise denoised enhanced raw orig original originals copy copies
    backup old reverb reverberant stretched stretch speed pitch pitched shifted laryngo laryngograph egg mp wav wave
    flac ogg hz khz k kbps resampled trimmed normalized normalised processed converted x mic ch channel
    """.split()  # noqa: SIM905
)
"""Words of folders that hold a version of recordings."""

_BLOCK = 1 << 20


def is_version(name: str) -> bool:
    """Return whether a folder's name is that of a version of recordings: clean, augmented_2, wav16k, speed-0.9."""
    words = re.findall(r"[a-z]+", name.lower())
    return bool(words) and all(word in _WORDS or word.rstrip("s") in _WORDS for word in words)


def without_versions(root: Path, files: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return files without copies in folders of versions, and sentences on what is left out.

    Two files are versions of one recording where their paths differ by a folder alone, and one of the two folders is
    called as a version is.

    Args:
        root: the folder below which they are.
        files: sorted.

    Raises:
        UserError: versions of a recording differ.
    """
    places = {path: path.relative_to(root).with_suffix("").parts for path in files}
    left: set[Path] = set()
    for depth in range(max((len(parts) for parts in places.values()), default=1) - 1):
        if not any(is_version(name) for name in {parts[depth] for parts in places.values() if len(parts) > depth + 1}):
            continue
        groups = defaultdict(list)
        for path, parts in places.items():
            if len(parts) > depth + 1 and path not in left:
                groups[parts[:depth], parts[depth + 1 :]].append(path)
        differ: dict[tuple[str, str], list[str]] = defaultdict(list)
        for paths in groups.values():
            names = [places[path][depth] for path in paths]
            # Where several others have files of these names, too, they are counters.
            if len(paths) < 2 or not any(map(is_version, names)) or sum(not is_version(name) for name in names) > 1:
                continue
            for path, name in zip(paths[1:], names[1:], strict=True):
                if same_bytes(paths[0], path):
                    left.add(path)
                else:
                    differ[names[0], name].append("/".join(places[path][depth + 1 :]))
        if differ:
            (one, other), names = next(iter(differ.items()))
            choose = f"choose one with --data.root {root / one} or {root / other}"
            raise UserError(
                f"--data.root {root}: {len(names)} recordings lie both in {one} and in {other} ({one_of(names, 3)}) "
                f"and differ, as versions of the same do; {'move one of the folders away' if depth else choose}, "
                "take both by a list of paths and labels, of which folds keep copies on one side, or say --data.corpus "
                "folder where they are classes."
            )
    if not left:
        return list(files), []
    folders = Counter(path.parent.relative_to(root).as_posix() for path in left)
    listing = one_of([f"{count} in {folder}" for folder, count in sorted(folders.items())])
    return [path for path in files if path not in left], [
        f"{len(left)} files whose bytes are those of others of the same name are left out ({listing})."
    ]


def same_bytes(one: Path, other: Path) -> bool:
    """Return whether two files hold the same bytes.

    Raises:
        UserError: one cannot be read.
    """
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        with one.open("rb") as first, other.open("rb") as second:
            while block := first.read(_BLOCK):
                if block != second.read(_BLOCK):
                    return False
    except OSError as error:
        raise UserError(f"{one}, {other}: they bear one name, but cannot be read ({reason(error)}).") from None
    return True
