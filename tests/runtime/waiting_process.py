"""Run by test_preemption.py as two processes: the first is at work for long, the other waits for what it makes."""

import signal
import time

from serjax import cli
from serjax.runtime import distributed
from serjax.runtime.hosts import Hosts


def main(argv):
    cli.join(Hosts(f"localhost:{argv[0]}", 2, int(argv[1]), 60.0))
    print("ready", flush=True)
    distributed.from_first("work", lambda: time.sleep(600))
    return 0


if __name__ == "__main__":
    # A runner of tests may have started them with it ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    cli.run(main, "stopped.")
