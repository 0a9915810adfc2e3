"""Run by test_together.py as one of several processes: opens a store of clips and prints JSON of what this one did."""

import json
import logging
import os
import signal
from pathlib import Path

from serjax import cli
from serjax.data.store import clips, decoded, ragged
from serjax.data.utterance import Utterance
from serjax.runtime import distributed
from serjax.runtime.hosts import Hosts


def main(arguments):
    port, count, index, cache, killed, *paths = arguments
    distributed.join(Hosts(f"localhost:{port}", int(count), int(index), 240.0), cli._print_error)
    if distributed.first():
        cli.show_log()
    else:
        logging.getLogger("serjax").setLevel(logging.CRITICAL)
    utterances = [Utterance(Path(path).stem, Path(path), "sad") for path in paths]
    decode, digest, done, hashed = clips.decode, decoded._digest, [], []
    ragged._SAVE_SECONDS, decoded._AHEAD = 0, 1

    def counted(path, **stretch):
        if path.name == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(path.name)
        return decode(path, **stretch)

    def digested(path):
        hashed.append(path.name)
        return digest(path)

    clips.decode, decoded._digest = counted, digested
    store = clips.open_store(utterances, Path(cache) / "clips", skip_bad=False)
    print(json.dumps({"store": str(store.folder), "decoded": sorted(done), "hashed": sorted(hashed)}))
    return 0


if __name__ == "__main__":
    cli.run(main)
