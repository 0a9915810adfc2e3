"""Lines of libmpg123 are kept back, all others come."""

import os

from serjax.audio.quiet import without_mpg123


def test_lines_of_others_come(capfd):
    with without_mpg123(True), without_mpg123(True):
        os.write(2, b"[src/libmpg123/layer3.c:x():1] error: dequantization failed!\nmine\n")
        os.write(2, b"Note: Trying to resync...\n")
    with without_mpg123(False):
        os.write(2, b"Note: Trying to resync...\n")
    assert capfd.readouterr().err == "mine\nNote: Trying to resync...\n"
