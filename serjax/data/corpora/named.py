"""Corpora that are told by their paths: recognised, and read with one file a recording."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from serjax.data.corpora.attributes import gender_of, read_people, shared
from serjax.data.corpora.class_folders import top_folder
from serjax.data.corpora.filenames import LAYOUTS, VARIANTS, Name, tail_of
from serjax.data.corpora.folders import clip_id
from serjax.data.corpora.versions import same_bytes
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

NAMED = frozenset({*LAYOUTS, *VARIANTS})
"""Words of `--data.corpus` that are read here."""


def layout_of(kind: str) -> str:
    """Return the key of `LAYOUTS` that a word of `NAMED` stands for."""
    return VARIANTS.get(kind, kind)


def recognise(root: Path, files: Sequence[Path]) -> str | None:
    """Return the key of the layout whose names all files have, None where no corpus's are.

    Raises:
        UserError: half or more of the files have a corpus's names, and some have not.
    """
    tails = [tail_of(path) for path in files]
    for kind, layout in LAYOUTS.items():
        if layout.within and not any(part.lower() in layout.within for path in files[:1] for part in path.parts):
            continue
        others = [path for path, tail in zip(files, tails, strict=True) if layout.parse(tail) is None]
        if not others:
            return kind
        if len(others) <= len(files) / 2:
            raise UserError(
                f"--data.root {root}: {len(files) - len(others)} of {len(files)} file names are those of "
                f"{layout.title}, others are not ({_listing(others, root)}); move or rename them, or say "
                "--data.corpus folder."
            )
    return None


def require_names(root: Path, files: Sequence[Path], kind: str) -> None:
    """Raise a `UserError` where files have other names than those of the corpus `kind`."""
    layout = LAYOUTS[layout_of(kind)]
    others = [path for path in files if layout.parse(tail_of(path)) is None]
    if others:
        raise UserError(
            f"--data.root {root}: {len(others)} file names are not those of {layout.title} "
            f"({_listing(others, root)}); move them away, or choose another --data.corpus."
        )


def set_aside(roots: Sequence[Path], files: Sequence[Path], kind: str) -> tuple[list[Path], list[str]]:
    """Leave out files that the corpus is published with beside its clips, and say so.

    These are the laryngograms of EMO-DB 2, the MP3 copies of CREMA-D, and songs, or speech, of RAVDESS.

    Args:
        roots: folders below which the files are.
        files: with names of the corpus.
        kind: a word of `NAMED`.

    Raises:
        UserError: songs are asked for, and there are none.
    """
    layout = LAYOUTS[layout_of(kind)]
    notes = []
    kept = list(files)
    if layout.beside:
        others = {path for path in files if path.parent.name.lower() in layout.beside and path.parent not in roots}
        if 0 < len(others) < len(files):
            left = one_of(sorted({path.parent.name for path in others}))
            notes.append(f"{len(others)} files in {left} are left out, as the corpus has the speech elsewhere.")
            kept = [path for path in files if path not in others]
        elif others or any(root.name.lower() in layout.beside for root in roots):
            notes.append(
                f"All files lie in {_beside(roots, files)}, beside which {layout.title} has the speech itself."
            )
    if layout_of(kind) == "ravdess":
        kept, found = _channel(roots[0], kept, kind)
        notes += found
    return kept, notes


def _beside(roots: Sequence[Path], files: Sequence[Path]) -> str:
    return one_of(sorted({path.parent.name for path in files} or {root.name for root in roots}))


def _channel(root: Path, files: list[Path], kind: str) -> tuple[list[Path], list[str]]:
    """Keep speech or songs of RAVDESS: never both, unless that is asked for."""
    by_channel: dict[str, list[Path]] = {"01": [], "02": []}
    for path in files:
        by_channel[path.stem[3:5]].append(path)
    speech, songs = by_channel["01"], by_channel["02"]
    if kind == "ravdess_all":
        return files, [f"{len(speech)} clips are spoken and {len(songs)} sung; a report does not tell them apart."]
    if kind == "ravdess_song" and not songs:
        raise UserError(f"--data.root {root}: there is no song of RAVDESS (03-02-...) below it; give their folder.")
    if kind == "ravdess_song" or not speech:
        note = f", and {len(speech)} clips of speech are left out" if speech else ""
        return songs, [f"The {len(songs)} clips are sung, not spoken{note}."]
    note = f"{len(songs)} songs are left out; --data.corpus ravdess_song or ravdess_all reads them."
    return speech, [note] if songs else []


def read_named(
    root: Path, files: Sequence[Path], kind: str, *, folders_label: bool
) -> tuple[list[Utterance], bool, list[str]]:
    """Read speakers, labels and sentences from paths.

    Of copies with equal bytes the first is kept: those of RAVDESS and TESS on Kaggle hold every file twice.

    Args:
        root: the folder below which the files are.
        files: sorted.
        kind: a word of `NAMED`.
        folders_label: take labels from the folders below root where these sort the clips by emotion.

    Returns:
        The clips, whether folders gave their labels, and notes.

    Raises:
        UserError: names that are not the corpus's, or two files of one recording that differ.
    """
    root = root.absolute()
    require_names(root, files, kind)
    layout = LAYOUTS[layout_of(kind)]
    files, aside = set_aside([root], files, kind)
    names, copies = _one_each(root, files, layout_of(kind))
    top = top_folder(root, files)
    by_folder = folders_label and not layout.sorted_by_emotion and _sort_emotions(top, names)
    people = read_people(root, layout_of(kind))
    clips = [
        Utterance(
            id=clip_id(path, root),
            path=path,
            label=path.relative_to(top).parts[0] if by_folder else name.emotion,
            speaker=name.speaker,
            session=name.session,
            text=name.text,
            attributes=people.known.get(name.speaker) or shared(name.gender and gender_of(name.gender), None),
        )
        for path, name in names.items()
    ]
    source = "labels are the folders' names, speakers" if by_folder else "labels and speakers"
    notes = [f"{layout.title} by its file names: {source} are read from the names.", *people.notes, *aside, *copies]
    parts = Counter(clip.session for clip in clips if clip.session)
    if parts:
        listing = ", ".join(f"{part} {count}" for part, count in sorted(parts.items()))
        notes.append(f"Its parts ({listing}) are sessions; folds are made anew.")
    return clips, by_folder, notes


def _one_each(root: Path, files: Sequence[Path], kind: str) -> tuple[dict[Path, Name], list[str]]:
    """Keep one file a recording, in the order of the paths, and say which others are left out."""
    names = {path: name for path in files if (name := LAYOUTS[kind].parse(tail_of(path))) is not None}
    groups = defaultdict(list)
    # Of RAVDESS the file of sound alone (03) comes before that of a video (01).
    for path, name in sorted(names.items(), key=lambda item: -int(item[1].modality or 0)):
        groups[name.key].append(path)
    left, versions, differing = 0, 0, []
    for paths in groups.values():
        for path in paths[1:]:
            if names[path].modality != names[paths[0]].modality:
                versions += 1
            elif same_bytes(paths[0], path):
                left += 1
            else:
                differing.append((paths[0], path))
    if differing:
        one, other = differing[0]
        depth = next(i for i, (a, b) in enumerate(zip(one.parts, other.parts, strict=False)) if a != b) + 1
        folders = [Path(*path.parts[: min(depth, len(path.parts) - 1)]) for path in (one, other)]
        raise UserError(
            f"--data.root {root}: {len(differing)} recordings of {LAYOUTS[kind].title} are there twice and differ, "
            f"such as {one.relative_to(root)} and {other.relative_to(root)}; choose one with --data.root "
            f"{folders[0]} or {folders[1]}, or move the others away."
        )
    kept = {paths[0] for paths in groups.values()}
    notes = [f"{left} files that are copies of others are left out."] if left else []
    if versions:
        notes.append(f"{versions} files that are the sound of videos (01-) are left out, as 03- is the same recording.")
    return {path: name for path, name in names.items() if path in kept}, notes


def _sort_emotions(top: Path, names: Mapping[Path, Name]) -> bool:
    """Return whether the folders below `top` sort the clips by emotion: into classes, merged ones too."""
    folders = defaultdict(set)
    for path, name in names.items():
        folders[name.emotion].add(path.relative_to(top).parts[0] if path.parent != top else None)
    found = set.union(*folders.values())
    # Folders of speakers, sessions or parts have an emotion in several of them; classes in one.
    return all(len(one) == 1 for one in folders.values()) and len(found) > 1 and None not in found


def _listing(paths: Sequence[Path], root: Path) -> str:
    return one_of([clip_id(path, root.absolute()) for path in paths])
