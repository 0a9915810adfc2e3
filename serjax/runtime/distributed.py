"""Several processes of one run, joined by JAX's runtime: they tell each other what one alone knows, and end together.

A process that is alone needs nothing of this: it is the first of one, and every function here returns at once. Values
go through the key-value store of JAX's coordination service; arrays go through the mesh (`serjax.runtime.mesh`). The
command line imports this module before JAX, which is imported by the functions that need it.
"""

import collections
import contextlib
import ctypes
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from serjax.runtime.errors import UserError
from serjax.runtime.hosts import Hosts, Place, find_place, meet

T = TypeVar("T")

_FOREVER = 30 * 86_400_000
"""Milliseconds to wait for what may take as long as decoding a corpus; a process that dies ends all others anyway."""
_HEARTBEAT = 30
"""Seconds without a sign of life after which a process counts as dead."""
_PIECE = 1 << 20
"""Characters that go through the coordination service at once; gRPC has a limit of some MB."""
_END = "serjax/end"
_CONNECTION = r"(?i)\bgloo\b|\bnccl|coordination.?service|UNAVAILABLE:|DEADLINE_EXCEEDED:|ABORTED:"
"""Words of JAX's errors of connections; others, such as of memory, are this process's own."""

LOST = (
    "another process of this run died, or the connection to it was lost; see its output. The same command goes on from "
    "the last state that was saved."
)

_calls: collections.Counter[str] = collections.Counter()
_ending = threading.Lock()


def join(hosts: Hosts, say: Callable[[str], None]) -> None:
    """Connect this process with the others that the options or a scheduler's environment name; do so before all else.

    From then on a process that ends, or dies, ends all others.

    Args:
        hosts: options.
        say: called in the first process with the sentence of another that ended.

    Raises:
        UserError: options that do not fit, or processes that do not come.
    """
    place = find_place(hosts, os.environ)
    if place is None:
        return
    if place.coordinator is not None:
        meet(place, hosts.patience)
    try:
        _initialize(place, hosts.patience)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes could not be connected ({str(error).splitlines()[0]}); give --hosts.coordinator, "
            "--hosts.count and --hosts.index."
        ) from None
    if several():
        _end_with_a_sentence()
        threading.Thread(target=_watch, args=(say,), daemon=True, name="end of other processes").start()


def _initialize(place: Place, patience: float) -> None:
    import jax

    known = place.coordinator is not None
    jax.distributed.initialize(
        place.coordinator,
        place.count,
        place.index,
        local_device_ids=place.local_devices,
        cluster_detection_method="deactivate" if known else None,
        initialization_timeout=max(1, round(patience)),
        heartbeat_timeout_seconds=_HEARTBEAT,
        shutdown_timeout_seconds=_HEARTBEAT,
    )


def several() -> bool:
    """Return whether this run has more than one process."""
    if "jax" not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1


def index() -> int:
    """Return the number of this process, from 0."""
    if not several():
        return 0
    import jax

    return jax.process_index()


def count() -> int:
    """Return the number of processes."""
    if not several():
        return 1
    import jax

    return jax.process_count()


def first() -> bool:
    """Return whether this process is the one that writes, draws and speaks."""
    return index() == 0


def wait_for_all(what: str) -> None:
    """Wait until every process has come this far.

    Args:
        what: name of the place in the program.
    """
    if several():
        _client().wait_at_barrier(_key(what), _FOREVER)


def exchange(what: str, text: str) -> list[str]:
    """Return what each process gives as `text`, in their order.

    Args:
        what: name of the exchange.
        text: of this process.
    """
    if not several():
        return [text]
    key = _key(what)
    _send(f"{key}/{index()}", text)
    return [_receive(f"{key}/{i}") for i in range(count())]


def to_first(what: str, text: str) -> list[str] | None:
    """Return on the first process what each gives as `text`, in their order, and None on the others.

    Unlike those of `exchange` the texts go through the network once, and are kept by nobody.

    Args:
        what: name of the exchange.
        text: of this process.
    """
    if not several():
        return [text]
    key = _key(what)
    if not first():
        _send(f"{key}/{index()}", text)
        return None
    texts = [text, *(_receive(f"{key}/{i}") for i in range(1, count()))]
    _client().key_value_delete(f"{key}/")
    return texts


def from_first(what: str, make: Callable[[], T]) -> T:
    """Return on every process what `make` returns on the first, which alone calls it.

    Args:
        what: name of the exchange.
        make: returns what JSON can write.

    Raises:
        UserError: `make` raised it.
    """
    if not several():
        return make()
    key = _key(what)
    if first():
        try:
            made = make()
        except UserError as error:
            _client().key_value_set(key, json.dumps({"error": str(error)}))
            raise
        _client().key_value_set(key, json.dumps({"value": made}))
        return made
    told = json.loads(_client().blocking_key_value_get(key, _FOREVER))
    if "error" in told:
        raise UserError(told["error"])
    value: T = told["value"]
    return value


def first_then_rest(what: str, make: Callable[[], T]) -> T:
    """Return what `make` returns here, called by the first process before all others: they find what it wrote.

    Args:
        what: name of the work.
        make: writes files once, and finds them afterwards.

    Raises:
        UserError: `make` raised it here, or on the first process.
    """
    made: list[T] = []
    from_first(what, lambda: made.append(make()))
    return made[0] if made else make()


def same(facts: Mapping[str, Any]) -> None:
    """See that all processes were given the same.

    Args:
        facts: values that JSON can write, by the name that a user knows them by.

    Raises:
        UserError: names the first that differs, and on which process.
    """
    every = [json.loads(text) for text in exchange("facts", json.dumps(facts))]
    for name, value in every[0].items():
        for i, other in enumerate(every):
            if other.get(name) != value:
                raise UserError(
                    f"process {i} has another {name} than process 0: {other.get(name)}, not {value}; give all "
                    "processes the same versions, command and data."
                )


def tell_end(status: int, sentence: str) -> bool:
    """Tell the other processes that this one ends, and why; return whether it should say so itself.

    The first process always speaks, and whoever ends first.
    """
    if not several():
        return True
    import jax

    _ending.acquire()  # never released: the watching thread must not speak, too
    try:
        _client().key_value_set(_END, json.dumps([index(), status, sentence]))
    except jax.errors.JaxRuntimeError:
        return first()
    return True


def leave(status: int) -> None:
    """End this process at once after `tell_end`; JAX's own shutdown would wait for processes that cannot come."""
    if not several():
        return
    if first():
        time.sleep(3)  # the coordination service lives here, and the others have still to hear of the end
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def finish() -> None:
    """Wait for all processes, and disconnect."""
    if several():
        import jax

        wait_for_all("end")
        jax.distributed.shutdown()


def lost(error: BaseException) -> bool:
    """Return whether an error is that of a connection to another process.

    It waits a moment first: where that process could say why it ended, the thread that watches for it ends this one.
    """
    # Read late, the same error comes as a ValueError too.
    if not (several() and re.search(_CONNECTION, str(error))):
        return False
    time.sleep(3)
    return True


def _watch(say: Callable[[str], None]) -> None:
    """End this process when another has ended."""
    import jax

    while True:
        time.sleep(0.5)
        try:
            told = _client().key_value_try_get(_END)
        except jax.errors.JaxRuntimeError as error:
            if "NOT_FOUND" in str(error):
                continue
            return  # disconnected
        except AttributeError:
            return
        who, status, sentence = json.loads(told)
        with _ending:
            if first() and sentence:
                say(f"process {who}: {sentence}")
            leave(status)


def _end_with_a_sentence() -> None:
    """Let JAX's runtime, which aborts when it loses another process, end this one with a sentence and status 1.

    It logs a stack trace before, as FATAL; TF_CPP_MIN_LOG_LEVEL=4 alone hides it, and with it the causes of all other
    aborts. In jaxlib 0.10 a `missed_heartbeat_callback` in Python is ended by std::bad_cast, as its argument has no
    Python type; with `jax_enable_recoverability` the loss of process 0 aborts all the same, and that of another is told
    to nobody.
    """

    def say(_: int) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"error: {LOST}\n".encode())
        os._exit(1)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(say)
    _kept.append(handler)
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).signal(6, handler)


_kept: list[Any] = []
"""Functions that C code calls, which must not be collected."""


def _key(what: str) -> str:
    """Return a key of its own for each call; all processes make the same calls in the same order."""
    _calls[what] += 1
    return f"serjax/{what.replace(' ', '_')}/{_calls[what]}"


def _send(key: str, text: str) -> None:
    """Set a text of any length, in pieces that say how many they are."""
    pieces = -(-len(text) // _PIECE) or 1
    for number in range(pieces):
        piece = text[number * _PIECE : (number + 1) * _PIECE]
        _client().key_value_set(f"{key}/{number}", f"{pieces} {piece}")


def _receive(key: str) -> str:
    """Wait for a text that `_send` sets, and return it."""

    def piece(number: int) -> tuple[str, str]:
        pieces, _, text = _client().blocking_key_value_get(f"{key}/{number}", _FOREVER).partition(" ")
        return pieces, text

    pieces, text = piece(0)
    return "".join((text, *(piece(number)[1] for number in range(1, int(pieces)))))


def _client() -> Any:
    # JAX has no public name for it; Orbax takes it from here, too.
    from jax._src.distributed import global_state

    return global_state.client
