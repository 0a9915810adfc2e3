"""Numbers of a running server, in the text format of Prometheus."""

import bisect
from collections import defaultdict
from collections.abc import Callable

Labels = tuple[tuple[str, str], ...]

TYPES = {
    "serjax_requests_total": ("counter", "Requests by route and status."),
    "serjax_request_seconds": ("histogram", "Time from a request to its answer, by route."),
    "serjax_windows_total": ("counter", "Windows that the models answered."),
    "serjax_batch_windows": ("histogram", "Windows in a call of the models."),
    "serjax_batch_seconds": ("histogram", "Time of a call of the models."),
    "serjax_sound_seconds_total": ("counter", "Seconds of sound that were decoded."),
    "serjax_decoder_restarts_total": ("counter", "Decoding processes that were started in place of one that ended."),
    "serjax_requests_in_progress": ("gauge", "Requests that are read, decoded or answered."),
    "serjax_streams_in_progress": ("gauge", "Live streams that are open."),
    "serjax_windows_waiting": ("gauge", "Windows that wait for the models."),
    "serjax_held_bytes": ("gauge", "Bytes of bodies and decoded sound that are held."),
    "serjax_ready": ("gauge", "1 after the warm-up, 0 before."),
}
"""Kind and meaning of every number."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BOUNDS = {"serjax_batch_windows": (1.0, 2.0, 4.0, 8.0)}


class Metrics:
    """Counters, histograms, and gauges that are asked when they are shown."""

    def __init__(self) -> None:
        """Begin with zeros."""
        self._counters: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._buckets: dict[tuple[str, Labels], list[int]] = {}
        self._sums: dict[tuple[str, Labels], float] = defaultdict(float)
        self.gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, by: float = 1.0, **labels: str) -> None:
        """Raise a counter."""
        self._counters[name][tuple(labels.items())] += by

    def value(self, name: str, **labels: str) -> float:
        """Return a counter."""
        return self._counters[name][tuple(labels.items())]

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        key, bounds = (name, tuple(labels.items())), _BOUNDS.get(name, _SECONDS)
        buckets = self._buckets.setdefault(key, [0] * (len(bounds) + 1))
        buckets[bisect.bisect_left(bounds, value)] += 1
        self._sums[key] += value

    def text(self) -> str:
        """Return all numbers in Prometheus' text format, version 0.0.4."""
        lines: list[str] = []
        for name, (kind, meaning) in TYPES.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
            if kind == "counter":
                found = self._counters.get(name) or {(): 0.0}
                lines += [f"{name}{_braces(labels)} {value:g}" for labels, value in found.items()]
            elif kind == "gauge":
                lines.append(f"{name} {self.gauges[name]() if name in self.gauges else 0:g}")
            else:
                for (own, labels), buckets in self._buckets.items():
                    if own == name:
                        lines += self._histogram(name, labels, buckets)
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str, labels: Labels, buckets: list[int]) -> list[str]:
        lines, total = [], 0
        for bound, count in zip((*_BOUNDS.get(name, _SECONDS), "+Inf"), buckets, strict=True):
            total += count
            lines.append(
                f"{name}_bucket{_braces((*labels, ('le', f'{bound:g}' if bound != '+Inf' else '+Inf')))} {total}"
            )
        lines.append(f"{name}_sum{_braces(labels)} {self._sums[name, labels]:g}")
        lines.append(f"{name}_count{_braces(labels)} {total}")
        return lines


def _braces(labels: Labels) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""
