"""Lists of clips without recordings: written by hand, by counts, or drawn by hypothesis."""

from pathlib import Path

from hypothesis import strategies as st

from serjax.data.utterance import Utterance

FOLD_KINDS = st.sampled_from(["stratified", "speaker", "leave_speaker_out", "leave_session_out"])


def clip(name: str, label: str, speaker: str | None = None, session: str | None = None) -> Utterance:
    return Utterance(name, Path(f"{name}.wav"), label, speaker, session)


def corpus(counts: list[list[int]], *, named: bool = True) -> list[Utterance]:
    """Return counts[s][c] clips of class c by speaker s, two speakers a session."""
    return [
        clip(f"s{s}/c{c}-{n}", f"c{c}", f"s{s}" if named else None, f"session{s // 2}")
        for s, row in enumerate(counts)
        for c, count in enumerate(row)
        for n in range(count)
    ]


@st.composite
def corpora(draw: st.DrawFn) -> list[Utterance]:
    classes = draw(st.integers(2, 4))
    rows = st.lists(st.integers(1, 4), min_size=classes, max_size=classes)
    clips = corpus(draw(st.lists(rows, min_size=4, max_size=9)))
    return draw(st.permutations(clips))


def speakers(clips: list[Utterance], part: tuple[int, ...]) -> set[str | None]:
    return {clips[i].speaker for i in part}
