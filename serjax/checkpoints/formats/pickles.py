"""A reader of pickles that runs nothing they name, and that no pickle keeps busy or fills the memory with.

A pickle is a program. What it may name is decided by those that derive from `Unpickler`; here it is held to what plain
data needs: so many steps, no piece longer than the file, texts and numbers as keys, no sets, and no state for an object
but where the reader wants it. (Keys of nested tuples take for ever to hash; 40 tuples of two make 2^40.)
"""

import pickle
from pathlib import Path
from typing import IO, Any, ClassVar

_STEPS = 3_000_000
"""Operations of one pickle; a state dict of 1,000 tensors has about 30,000."""
_PLAIN: dict[int, Any] = dict(pickle._Unpickler.dispatch)
"""Python's own function for each operation."""
_REFUSED = (
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.EMPTY_SET,
    pickle.ADDITEMS,
    pickle.FROZENSET,
    pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
)


class _Bounded:
    """A file that gives no piece longer than what is left of it: a pickle may claim any length."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size

    def read(self, size: int) -> bytes:
        if size > self._size - self._file.tell():
            raise EOFError("it breaks off")
        return self._file.read(size)

    def readline(self) -> bytes:
        return self._file.readline()


class _Steps(dict[int, Any]):
    """The table of operations, which counts how often it is asked."""

    taken = 0

    def __getitem__(self, operation: int) -> Any:
        self.taken += 1
        if self.taken > _STEPS:
            raise ValueError("it has more steps than any file of weights")
        return super().__getitem__(operation)


# Python's own class: the one in C reads ahead, allots what a pickle claims, and its parts cannot be replaced.
class Unpickler(pickle._Unpickler):
    """Reads one pickle from a file; `find_class` and `persistent_load` of those that derive decide on names.

    Args:
        file: opened to be read as bytes.
        path: of the file, for messages.
        size: bytes of `file`; by default those of `path`.
    """

    dispatch: ClassVar[Any] = dict(_PLAIN)
    stack: list[Any]

    def __init__(self, file: IO[bytes], path: Path, size: int | None = None) -> None:
        self.file, self.path = file, path
        self.size = path.stat().st_size if size is None else size
        super().__init__(_Bounded(file, self.size))
        self.dispatch = _Steps(self.dispatch)  # type: ignore[misc]

    def take_state(self, owner: Any, state: Any) -> None:
        """Give an object the state that a pickle has for it."""
        raise ValueError(f"a state for a {type(owner).__name__}")

    def load_build(self) -> None:
        """Take a state from the stack."""
        state = self.stack.pop()
        self.take_state(self.stack[-1], state)

    def load_setitem(self) -> None:
        """Take a key and a value from the stack."""
        _plain_key(self.stack[-2])
        _PLAIN[pickle.SETITEM[0]](self)

    def load_setitems(self) -> None:
        """Take keys and values from the stack."""
        for key in self.stack[::2]:
            _plain_key(key)
        _PLAIN[pickle.SETITEMS[0]](self)

    def load_dict(self) -> None:
        """Take keys and values from the stack, as protocol 0 has them."""
        for key in self.stack[::2]:
            _plain_key(key)
        _PLAIN[pickle.DICT[0]](self)

    def load_refused(self) -> None:
        """Refuse what plain data does not need."""
        raise ValueError("it holds sets, or objects that are kept elsewhere")

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    for _operation in _REFUSED:
        dispatch[_operation[0]] = load_refused


def _plain_key(key: Any) -> None:
    if not isinstance(key, (str, int, float, bytes)):
        raise ValueError(f"a key that is a {type(key).__name__}")
