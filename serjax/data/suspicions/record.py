"""A suspicion: a sign that something of a corpus is not as it should be, and its remedy."""

from typing import NamedTuple


class Suspicion(NamedTuple):
    """Something that should be looked at before training.

    Attributes:
        kind: a short name, the same for all suspicions of the kind.
        what: a sentence on what was found, and where.
        remedy: a sentence on what to do.
        clips: ids of the clips, or names of the files, that it is about; none where it is about classes or the corpus.
        refused: whether training stops there, unless what `remedy` says is done.
    """

    kind: str
    what: str
    remedy: str
    clips: tuple[str, ...] = ()
    refused: bool = False

    @property
    def text(self) -> str:
        """Both sentences."""
        return f"{self.what} {self.remedy}"


def plural(count: int, noun: str = "clip") -> str:
    """Return `1 clip` or `2 clips`."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
