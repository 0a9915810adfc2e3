"""Sound that a recording should hold and does not, in seconds, and the sentence that tells it."""

from dataclasses import dataclass

LEAST = 1e-3
"""Seconds from which on a loss is told."""


@dataclass
class Loss:
    """Seconds that are missing of a recording, complete when it has been read.

    Attributes:
        end: seconds by which it ends before its header says.
        inside: seconds that do not decode before its end.
        more: seconds of sound that stand behind the end that its header gives, and are not read.
        unknown: whether it breaks off, and nothing says how long it was.
    """

    end: float = 0.0
    inside: float = 0.0
    more: float = 0.0
    unknown: bool = False

    @property
    def seconds(self) -> float:
        """How much is missing; the least there is where nobody knows, and 0 of a whole recording."""
        known = self.end + self.inside + self.more
        return known if known >= LEAST else LEAST if self.unknown else 0.0

    def forget_end(self) -> None:
        """Say nothing of what is wrong at its end: the stretch that is asked for does not reach there."""
        self.end, self.more, self.unknown = 0.0, 0.0, False

    def sentence(self, source: object, then: str) -> str | None:
        """Return what is to be said of it; None of a whole recording.

        Args:
            source: what the recording is called.
            then: what becomes of it.
        """
        said = []
        if self.end >= LEAST:
            said.append(f"it breaks off {self.end:.3f} s before the end that its header gives")
        elif self.unknown:
            said.append("it breaks off in the middle of its data, and nothing says how long it was")
        if self.inside >= LEAST:
            said.append(f"{self.inside:.3f} s within it are damaged and do not decode")
        if self.more >= LEAST:
            said.append(f"{self.more:.3f} s of sound stand behind the end that its header gives, and are not read")
        return f"{source}: {', and '.join(said)}; {then}" if said else None
