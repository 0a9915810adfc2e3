"""Corpora that are told by a file of labels: one row each with what they are told by and who reads them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from serjax.data.corpora import baum, iemocap, meld, msp
from serjax.data.corpora.label_files import Read, find_label_files
from serjax.runtime.errors import UserError


class _Reader(Protocol):
    """Reader of a corpus below a folder."""

    def __call__(self, root: Path, *, videos: bool, skip_missing: bool, labelled: bool) -> Read: ...


class Annotated(NamedTuple):
    """A corpus with files of labels.

    Attributes:
        title: its usual name.
        source: who published it.
        found: whether a folder holds it.
        read: its reader.
    """

    title: str
    source: str
    found: Callable[[Path], bool]
    read: _Reader


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda root: bool(find_label_files(root, names))


def _iemocap(classes: Mapping[str, str]) -> _Reader:
    def read(root: Path, *, videos: bool, skip_missing: bool, labelled: bool) -> Read:
        if videos:
            raise UserError(f"--data.root {root}: of IEMOCAP sound alone is read; choose a model without video.")
        clips, notes = iemocap.read_iemocap(root, skip_missing=skip_missing, classes=classes, labelled=labelled)
        return Read(clips, (), notes)

    return read


def _never(root: Path) -> bool:
    return False


ANNOTATED: Mapping[str, Annotated] = {
    "iemocap": Annotated(
        "IEMOCAP", "Busso et al. 2008", lambda root: bool(iemocap.find_sessions(root)), _iemocap(iemocap.EMOTIONS)
    ),
    "iemocap7": Annotated("IEMOCAP", "Busso et al. 2008", _never, _iemocap(iemocap.SEVEN)),
    "msp_podcast": Annotated("MSP-Podcast", "Lotfian & Busso 2019", _has(*msp.CONSENSUS), msp.read_msp_podcast),
    "msp_improv": Annotated("MSP-IMPROV", "Busso et al. 2017", msp.holds_msp_improv, msp.read_msp_improv),
    "meld": Annotated("MELD", "Poria et al. 2019", _has(*meld.TABLES), meld.read_meld),
    "baum1s": Annotated("BAUM-1s", "Zhalehpour et al. 2017", _has(*baum.TABLES), baum.read_baum1s),
}
"""Corpora by the words of `--data.corpus`, in the order in which they are looked for."""


def find_annotated(root: Path) -> str | None:
    """Return the key of the corpus whose files of labels `root` holds; None where there is none."""
    return next((kind for kind, one in ANNOTATED.items() if one.found(root)), None)
