"""Run by test_distributed.py as two processes with two CPU devices each: prints JSON of what this one finds."""

import json
import sys

import jax
import numpy as np

from serjax.runtime import distributed
from serjax.runtime.errors import UserError
from serjax.runtime.hosts import Hosts
from serjax.runtime.mesh import enter_together, fetch, make_mesh, own_rows, place, place_rows, sharding


def error_of(call):
    try:
        call()
    except UserError as error:
        return str(error)
    return None


def refuse():
    raise UserError("the first process refuses")


def main(port, index):
    distributed.join(Hosts(f"localhost:{port}", 2, index, 60.0), print)
    calls = []
    mesh = make_mesh(2, 4)
    rows = np.arange(8.0).reshape(2, 4)
    spread = sharding(mesh, "fold", "data")
    own = rows[index : index + 1]
    summed = enter_together(jax.jit(lambda x: x.sum(1), out_shardings=sharding(mesh, "fold")))
    keys = place(jax.random.split(jax.random.key(1), 2), sharding(mesh, "fold"))
    found = {
        "place": [distributed.index(), distributed.count(), distributed.first(), jax.device_count()],
        "exchange": distributed.exchange("names", f"process {index}"),
        "again": distributed.exchange("names", f"process {index} again"),
        "long": [
            text == f"{i}ä" * 2_000_000 for i, text in enumerate(distributed.exchange("long", f"{index}ä" * 2_000_000))
        ],
        "none": distributed.exchange("none", ""),
        "to first": distributed.to_first("names", f"process {index}"),
        "to first again": distributed.to_first("names", f"process {index} again"),
        "from first": distributed.from_first("value", lambda: calls.append(0) or {"index": index}),
        "first then rest": distributed.first_then_rest("work", lambda: calls.append(1) or index),
        "refused": error_of(lambda: distributed.from_first("value", refuse)),
        "differs": error_of(lambda: distributed.same({"seed": 3, "version of jax": f"0.{index}"})),
        "alike": error_of(lambda: distributed.same({"seed": 3})),
        "mesh": [[device.process_index for device in row] for row in mesh.devices[:, :, 0]],
        "whole": fetch(summed(place(rows, spread))).tolist(),
        "own": own_rows(place(rows, sharding(mesh, "fold"))).tolist(),
        "rows": fetch(place_rows(own, spread, (2, 4))).tolist(),
        "keys": fetch(jax.jit(jax.random.key_data)(keys)).tolist(),
        "calls": calls,
    }
    print(json.dumps(found))
    distributed.wait_for_all("the end")
    distributed.finish()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
