"""Collectives of a compiled program: kind, bytes, and the axes of the mesh that their groups cross."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
_OPERATION = re.compile(rf"= (?P<type>.+?) (?P<kind>{'|'.join(KINDS)}|ragged-all-to-all)(?P<start>-start)?\(")
_ARRAY = re.compile(r"\b(pred|[suf]\d+|bf16|f8\w*|c64|c128)\[([\d,]*)\]")
_LITERAL = re.compile(r"replica_groups=\{((?:\{[\d,]*\},?)*)\}")
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH = re.compile(
    r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\((?:\[([\d,]+)\](?:T\(([\d,]+)\))?|([\d,]+))\))? ?\{([^}]*)\}"
)
_PAIRS = re.compile(r"source_target_pairs=\{((?:\{\d+,\d+\},?)*)\}")


class Collective(NamedTuple):
    """One collective operation.

    Attributes:
        kind: such as all-reduce.
        size: bytes of the result on one device; one in a loop counts once.
        group: devices that take part together.
        axes: of the mesh that the groups cross.
    """

    kind: str
    size: int
    group: int
    axes: tuple[str, ...]

    @property
    def sent(self) -> float:
        """Bytes that a device sends where the group works as a ring (Thakur et al., 2005)."""
        share = (self.group - 1) / self.group
        if self.kind == "all-reduce":
            return 2 * share * self.size
        if self.kind == "reduce-scatter":
            return (self.group - 1) * self.size
        return float(self.size) if self.kind == "collective-permute" else share * self.size


def read_collectives(
    text: str, shape: Sequence[int], names: Sequence[str] = ("fold", "data", "shard")
) -> list[Collective]:
    """Return the collectives of a program's HLO text.

    Args:
        text: `compiled.as_text()`.
        shape: of the mesh.
        names: of its axes.

    Raises:
        ValueError: groups of a form that is not known here.
    """
    found = []
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        operation = _OPERATION.search(line)
        if operation is None:
            continue
        groups = _groups(line, math.prod(shape))
        axes = tuple(
            name
            for axis, name in enumerate(names[: len(shape)])
            if any(len({np.unravel_index(one, shape)[axis] for one in group}) > 1 for group in groups)
        )
        size = _size(operation["type"], operation["kind"], operation["start"] is not None)
        found.append(Collective(operation["kind"], size, max(map(len, groups), default=1), axes))
    return found


def _groups(line: str, devices: int) -> list[list[int]]:
    if pairs := _PAIRS.search(line):
        return [[int(one) for one in pair.split(",")] for pair in re.findall(r"\{([\d,]+)\}", pairs[1])]
    if found := _MESH.search(line):
        sizes = {name: int(size) for name, size in re.findall(r"'?([\w.]+)'?=(\d+)", found[1])}
        crossed = re.findall(r"[^', ]+", found[5])
        if not set(crossed) <= sizes.keys():
            raise ValueError(f"groups over parts of axes are not known here: {found[0]}")
        ids = np.arange(math.prod(sizes.values())) if found[4] is None else np.array(_numbers(found[4]))
        if found[2]:
            ids = ids.reshape(_numbers(found[2]))
            ids = ids.transpose(_numbers(found[3])) if found[3] else ids
        order = [name for name in sizes if name not in crossed] + crossed
        ids = ids.reshape(tuple(sizes.values())).transpose([list(sizes).index(name) for name in order])
        return [list(map(int, row)) for row in ids.reshape(-1, math.prod(sizes[name] for name in crossed))]
    if found := _IOTA.search(line):
        shape, base = _numbers(found[1]), _numbers(found[2])
        ids = np.arange(math.prod(base)).reshape(base)
        ids = ids.transpose(_numbers(found[3])) if found[3] else ids
        return [list(map(int, row)) for row in ids.reshape(shape)]
    if found := _LITERAL.search(line):
        groups = [_numbers(group) for group in re.findall(r"\{([\d,]+)\}", found[1])]
        return groups or [list(range(devices))]
    raise ValueError(f"a collective without groups: {line.strip()[:200]}")


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _size(text: str, kind: str, start: bool) -> int:
    """Return the bytes of a result, such as (bf16[5,3]{1,0}, f32[]); that of a start has its operands in front."""
    arrays = [
        (shape, _width(name) * math.prod(map(int, filter(None, shape.split(",")))))
        for name, shape in _ARRAY.findall(text)
    ]
    if not start or kind == "all-reduce":
        return sum(size for _, size in arrays)
    # (operands, results, contexts): results are the second of as many; contexts are scalars.
    sizes = [size for shape, size in arrays if shape]
    return sum(sizes[len(sizes) // 2 :])


def _width(name: str) -> int:
    if name == "pred" or name.startswith("f8"):
        return 1
    bits = int(re.sub(r"\D", "", name))
    return max(1, bits // 8)
