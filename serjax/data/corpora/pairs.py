"""Videos and the sounds that belong to them, told by the names of their files."""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from serjax.audio.kinds import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from serjax.audio.reading import open_sound
from serjax.data.corpora.attributes import Attributes, People, gender_of, read_people, shared
from serjax.data.corpora.class_folders import read_classes
from serjax.data.corpora.filenames import LAYOUTS, tail_of
from serjax.data.corpora.folders import clip_id, of_kind, walk
from serjax.data.corpora.named import NAMED, layout_of, recognise, require_names, set_aside
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

_APART = 1.0
"""Seconds by which a video and its sound may differ in length unnoticed."""


class Pairs(NamedTuple):
    """Result of `read_pairs`.

    Attributes:
        name: of the corpus, or else of its folder.
        utterances: with their videos, in the order of their sounds' paths.
        order: of the classes; empty where the corpus has none of its own.
        notes: how the corpus was recognised, and what is left out.
    """

    name: str
    utterances: tuple[Utterance, ...]
    order: tuple[str, ...]
    notes: tuple[str, ...]


class _File(NamedTuple):
    """A video or a sound; `keys` are what files of one clip have in common, from loose to strict."""

    path: Path
    id: str
    label: str
    speaker: str | None
    keys: tuple[Hashable, ...]
    text: str | None = None
    attributes: Attributes = ()


_Group = tuple[list[_File], list[_File]]
"""The videos and the sounds of one clip, those to be preferred first."""


def read_pairs(root: Path, corpus: str = "auto", *, audio_root: Path | None = None, silent: bool = False) -> Pairs:
    """Find the videos below a folder and the sound of each: a file of its own, or else the sound inside the video.

    - RAVDESS: `02-*` and `01-*` videos go with the `03-*` sounds that agree in all other fields; songs are left out,
      unless they are asked for.
    - Other corpora known by their names: files of one name.
    - Else a folder a class: files of one name; where a name comes again in another class, of one class and name;
      where it comes again within a class, of one path below it. Videos and sounds may lie in a tree each.

    In corpora known by their names a video's name may end in its height, `_224`; it stands in for one without.

    Args:
        root: a folder.
        corpus: auto, folder, or a word of `NAMED`.
        audio_root: the folder of the sounds, where it is another one.
        silent: videos may be without sound, as nobody listens. Clips that have sound are called and ordered as they
            are where somebody does, so that folds agree.

    Raises:
        UserError: no pair, names that do not fit the corpus, or a pair with two labels.
    """
    root = root.absolute()
    sound_root = root if audio_root is None else audio_root.absolute()
    videos = of_kind(root, sorted(walk(root)), VIDEO_SUFFIXES)
    sounds = of_kind(sound_root, sorted(walk(sound_root)), AUDIO_SUFFIXES)
    if not videos:
        raise UserError(f"--data.root {root}: there are no videos below it; give the folder that holds the recordings.")
    plain = [_without_height(path) for path in videos]
    order: tuple[str, ...] = ()
    known = recognise(root, plain) if corpus == "auto" else corpus if corpus in NAMED else None
    if known is None:
        name = root.resolve().name
        notes = ["A folder a class: the labels are the folders' names; videos and sounds go together by their names."]
        groups = _grouped(*_read_classes(root, videos, sound_root, sounds, corpus == "folder"))
    else:
        require_names(root, plain, known)
        require_names(sound_root, sounds, known)
        layout = LAYOUTS[layout_of(known)]
        name, order = layout.title, layout.order
        notes = [f"{name} by its file names: labels and speakers are read from the names."]
        kept, left = set_aside([root, sound_root], [*videos, *sounds], known)
        chosen = set(kept)
        videos, sounds = ([path for path in files if path in chosen] for files in (videos, sounds))
        notes += left
        if not videos:
            raise UserError(
                f"--data.root {root}: its videos are of songs alone; give the folder of those of speech, or say "
                "--data.corpus ravdess_song."
            )
        people = read_people(root, layout_of(known))
        notes += people.notes
        groups = _grouped(_read_names(root, videos, known, people), _read_names(sound_root, sounds, known, people))
    clips, alone = _pair(groups, silent)
    if not clips:
        raise UserError(
            f"--data.root {root}: none of its {len(videos)} videos has sound inside, and none of the {len(sounds)} "
            f"sound files below {sound_root} goes with one by its name; rename them, give the folder of both, or train "
            "--exp video, which needs no sound."
        )
    inside = sum(clip.path.suffix.lower() in VIDEO_SUFFIXES for clip in clips)
    used = {path for clip in clips for path in (clip.path, clip.video)}
    spare = len(videos) + len(sounds) - len(alone) - len(used)
    if silent:
        notes.append(f"{len(clips)} videos; nothing listens to their sound.")
    else:
        within = f", {inside} with the sound inside." if inside else "."
        notes.append(f"{len(clips)} pairs of video and sound{within}")
    notes += [f"{spare} files are left out, as others are of the same clips."] if spare else []
    notes += [f"{len(alone)} files have no partner and are left out: {one_of(alone)}."] if alone else []
    return Pairs(name, tuple(sorted(clips, key=lambda clip: clip.path)), order, tuple(notes))


def length_note(clip: Utterance, seconds: float) -> str | None:
    """Return a sentence where a video, so many seconds long, and its sound file differ in length by more than 1 s.

    Of stretches nothing is said: their sounds are as long as their frames.
    """
    inside = clip.path.suffix.lower() in VIDEO_SUFFIXES
    if clip.video is None or inside or clip.start or clip.end is not None:
        return None
    try:
        with open_sound(clip.path) as found:
            sound = found.seconds
    except UserError:  # said when it is decoded
        return None
    if sound is None or abs(sound - seconds) <= _APART:
        return None
    return f"{clip.video}: it lasts {seconds:.2f} s, but its sound {clip.path.name} {sound:.2f} s; neither is cut."


def _without_height(path: Path) -> Path:
    """Return a video's path without the height that a resized copy's name may end in."""
    return path.with_stem(re.sub(r"_\d{3,4}p?$", "", path.stem))


def _read_names(root: Path, files: Sequence[Path], kind: str, people: People) -> list[_File]:
    """Describe files of a corpus that is known by its names; of one clip's files those to be preferred come first."""
    described = []
    for path in sorted(files, key=lambda path: (_without_height(path) != path, path.stem[:3] == "01-", path)):
        name = LAYOUTS[layout_of(kind)].parse(tail_of(_without_height(path)))
        if name is not None:
            known = people.known.get(name.speaker) or shared(name.gender and gender_of(name.gender), None)
            described.append(
                _File(path, clip_id(path, root), name.emotion, name.speaker, (name.key,), name.text, known)
            )
    return described


def _read_classes(
    root: Path, videos: Sequence[Path], sound_root: Path, sounds: Sequence[Path], as_told: bool
) -> tuple[list[_File], list[_File]]:
    """Describe files that lie in a folder a class, videos and sounds in one tree or in a tree each."""
    if root != sound_root:
        return _in_classes(root, root, videos, as_told), _in_classes(sound_root, sound_root, sounds, as_told)
    tops = [{path.relative_to(root).parts[0] for path in files} for files in (videos, sounds)]
    if sounds and not tops[0] & tops[1]:
        trees = [root / min(top) if len(top) == 1 and (root / min(top)).is_dir() else root for top in tops]
        return _in_classes(root, trees[0], videos, as_told), _in_classes(root, trees[1], sounds, as_told)
    described = _in_classes(root, root, [*videos, *sounds], as_told)
    return described[: len(videos)], described[len(videos) :]


def _in_classes(root: Path, tree: Path, files: Sequence[Path], as_told: bool) -> list[_File]:
    """Describe files that lie below `tree` in a folder a class."""
    described = []
    for clip in read_classes(tree, files, as_told=as_told) if files else ():
        *folders, stem = clip.id.split("/")
        below = tuple(folders[folders.index(clip.label) + 1 :])
        keys = (stem, (clip.label, stem), (clip.label, below, stem), (*folders, stem))
        described.append(_File(clip.path, clip_id(clip.path, root), clip.label, None, keys))
    return described


def _grouped(videos: Sequence[_File], sounds: Sequence[_File]) -> list[_Group]:
    """Bring together what has the same key: the loosest by which no two videos and no two sounds are one clip's."""
    groups: dict[Hashable, _Group] = {}
    for level in range(max((len(file.keys) for file in (*videos, *sounds)), default=0)):
        groups = defaultdict(lambda: ([], []))
        for side, files in enumerate((videos, sounds)):
            for file in files:
                groups[file.keys[level]][side].append(file)
        if all(len(files) <= 1 for group in groups.values() for files in group):
            break
    return list(groups.values())


def _pair(groups: Sequence[_Group], silent: bool) -> tuple[list[Utterance], list[str]]:
    """Return the pairs, and the names of the files without a partner with what they lack.

    Where they may be `silent`, videos without sound are their own partners.
    """
    asked = [video.path for videos, sounds in groups if not sounds for video in videos]
    with ThreadPoolExecutor() as pool:
        sounding = dict(zip(asked, pool.map(_sounds, asked), strict=True))
    clips, alone = [], []
    for videos, sounds in groups:
        sound = next((file for file in (*sounds, *videos) if sounds or sounding[file.path]), None)
        if silent and sound is None:
            sound = videos[0]
        if not videos or sound is None:
            lack = "video" if sounds else "sound"
            alone += [f"{file.path.name} (no {lack})" for file in (*videos, *sounds)]
            continue
        if sound.label != videos[0].label:
            raise UserError(
                f"{videos[0].path}: it lies in {videos[0].label}, but its sound {sound.path} in {sound.label}; move "
                "one of them, or rename it if they are of different clips."
            )
        clips.append(
            Utterance(
                sound.id,
                sound.path,
                sound.label,
                sound.speaker,
                video=videos[0].path,
                text=sound.text,
                attributes=sound.attributes,
            )
        )
    return clips, alone


def _sounds(path: Path) -> bool:
    """Return whether a video has sound."""
    from serjax.video.decode import has_sound

    try:
        return has_sound(path)
    except UserError:  # the store will say what is wrong with it
        return True
