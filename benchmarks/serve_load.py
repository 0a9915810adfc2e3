"""A server under load: many clients at once, some of whom misbehave, beside the bare ensemble and another server.

The clips have answers that were computed before, so that a lost answer, or one that belongs to another client, is
found. Meanwhile other clients hang up, upload slowly, send garbage and bodies without an end, and decoding processes
are killed. All of it happens on 127.0.0.1.
"""

import argparse
import asyncio
import io
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from harness import markdown, parser, publish

SECONDS = (0.6, 1.0, 1.5, 2.2, 3.0, 4.5)
"""Lengths of the clips."""


def make_clips(count: int) -> list[bytes]:
    """Return FLAC files of mixed lengths, each another sound."""
    rng, found = np.random.default_rng(0), []
    for number in range(count):
        time_ = np.arange(round(SECONDS[number % len(SECONDS)] * 16_000)) / 16_000
        pitch = 90 * 1.06 ** (number % 24) * (1 + 0.1 * np.sin(2 * np.pi * 3 * time_))
        wave = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / 16_000) + rng.normal(0, 0.03, len(time_))
        file = io.BytesIO()
        soundfile.write(file, np.clip(wave, -1, 1), 16_000, format="FLAC")
        found.append(file.getvalue())
    return found


def bare(model: str, clips: list[bytes], requests: int) -> tuple[list[dict[str, float]], float]:
    """Return the answer for each clip, and how many clips a second the ensemble answers without a server."""
    from serjax.inference.files import answer
    from serjax.inference.load import load

    ensemble = load(model)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.flac" for number in range(len(clips))]
        for path, clip in zip(paths, clips, strict=True):
            path.write_bytes(clip)
        found = list(answer(ensemble, paths))
        every = list(itertools.islice(itertools.cycle(paths), requests))
        list(answer(ensemble, every))  # compiles what another number of clips needs
        began = time.perf_counter()
        list(answer(ensemble, every))
        rate = requests / (time.perf_counter() - began)
    return [{entry["label"]: entry["score"] for entry in one.scores} for one in found], rate


async def ask(host: str, port: int, body: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer to a POST."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: audio/flac\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        answer = await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]) if top else 0, rest


async def fault(kind: str, host: str, port: int, clip: bytes, rng: random.Random) -> str:
    """Misbehave once; return what came of it."""
    if kind == "garbage":
        status, _ = await ask(host, port, rng.randbytes(rng.randrange(1, 20_000)))
        return f"{status}"
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: audio/flac\r\n".encode()
    try:
        if kind == "hang-up":
            writer.write(head + f"Content-Length: {len(clip)}\r\n\r\n".encode() + clip[: rng.randrange(len(clip) + 1)])
            await writer.drain()
            await asyncio.sleep(rng.random() * 0.05)
            return "gone"
        if kind == "slow":
            writer.write(head + f"Content-Length: {len(clip)}\r\n\r\n".encode() + clip[:10])
        else:
            writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
            with suppress(ConnectionError):
                while not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]
                    writer.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
                    await writer.drain()
        answer = await asyncio.wait_for(reader.read(12), 60)
        return answer[9:12].decode() or "closed"
    except ConnectionError:
        return "closed"
    finally:
        writer.close()


def same(answer: bytes, expected: dict[str, float]) -> bool:
    """Return whether an answer is the one that was computed before."""
    import json

    found = {entry["label"]: entry["score"] for entry in json.loads(answer)}
    return found.keys() == expected.keys() and all(abs(found[name] - expected[name]) < 1e-4 for name in expected)


async def load_of(
    port: int, clips: list[bytes], expected: list[dict[str, float]], options: argparse.Namespace, pid: int | None
) -> dict[str, Any]:
    """Let the clients ask, and return what came of it.

    Args:
        port: of the server.
        clips: of all clients.
        expected: their answers; none where the server is not serjax's.
        options: of the command line.
        pid: process of the server, whose decoders are killed; None: no faults.
    """
    numbers, times, found = iter(range(options.requests)), [], Counter()
    done = asyncio.Event()
    rng = random.Random(0)

    async def client() -> None:
        for number in numbers:
            clip = number % len(clips)
            while True:
                began = time.perf_counter()
                try:
                    status, answer = await ask("127.0.0.1", port, clips[clip])
                except OSError:
                    found["connection failed"] += 1
                    await asyncio.sleep(0.2)
                    continue
                if status in (429, 503):
                    found[f"{status}, asked again"] += 1
                    await asyncio.sleep(0.2)
                    continue
                break
            times.append(time.perf_counter() - began)
            if status != 200:
                found[f"answered {status}"] += 1
            elif expected and not same(answer, expected[clip]):
                found["wrong answers"] += 1
            else:
                found["right answers"] += 1

    async def mischief() -> None:
        kinds = itertools.cycle(["hang-up", "garbage", "hang-up", "slow", "garbage", "endless"])
        while not done.is_set():
            kind = next(kinds)
            with suppress(OSError, TimeoutError):
                found[f"{kind}: {await fault(kind, '127.0.0.1', port, clips[0], rng)}"] += 1
            await asyncio.sleep(0.05)

    async def killer() -> None:
        while not done.is_set():
            await asyncio.sleep(options.kill_every)
            for child in decoders_of(pid or 0)[:1]:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    found["decoders killed"] += 1

    began = time.perf_counter()
    others = [asyncio.create_task(work()) for work in ([mischief, mischief, killer] if pid else [])]
    await asyncio.gather(*(client() for _ in range(options.clients)))
    seconds = time.perf_counter() - began
    done.set()
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    p50, p95 = np.percentile(times, [50, 95])
    return {"rate": options.requests / seconds, "p50": p50, "p95": p95, "counts": dict(sorted(found.items()))}


def decoders_of(pid: int) -> list[int]:
    """Return the decoding processes of a server."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [int(child) for child in children if b"decoder" in Path(f"/proc/{child}/cmdline").read_bytes()]


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))[1]) / 1024


def start(command: list[str], ready: str, environment: dict[str, str] | None = None) -> tuple[subprocess.Popen, int]:
    """Start a server; return its process and port when it is ready."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    port = 0
    for line in process.stderr:
        port = int(found[1]) if (found := re.search(r"http://127\.0\.0\.1:(\d+)", line)) else port
        if ready in line:
            return process, port
    raise SystemExit(f"{command} has ended; see above.")


PEER = """
import io, soundfile, torch, transformers, uvicorn, fastapi
from fastapi.concurrency import run_in_threadpool
torch.set_num_threads({threads})
pipe = transformers.pipeline("audio-classification", model={model!r}, top_k=None)
app = fastapi.FastAPI()
def answer(body):
    wave, rate = soundfile.read(io.BytesIO(body), dtype="float32")
    return pipe({{"raw": wave, "sampling_rate": rate}})
@app.post("/")
async def classify(request: fastapi.Request):
    return await run_in_threadpool(answer, await request.body())
uvicorn.run(app, host="127.0.0.1", port={port}, log_level="info", access_log=False)
"""
"""The plain way: FastAPI's threads around a pipeline of transformers; soundfile decodes."""


def main() -> None:
    """Print the table."""
    found = parser(__doc__, rounds=1)
    found.add_argument("--model", default="checkpoints/quickstart", help="run folder, or checkpoint of transformers")
    found.add_argument("--requests", type=int, default=10_000)
    found.add_argument("--clients", type=int, default=64)
    found.add_argument("--clips", type=int, default=96, help="different clips")
    found.add_argument("--kill-every", type=float, default=5.0, help="seconds from one killed decoder to the next")
    found.add_argument(
        "--peer-python", help="Python with torch, transformers, fastapi and uvicorn, for the other server"
    )
    options = found.parse_args()
    clips = make_clips(options.clips)
    expected, alone = bare(options.model, clips, options.requests)
    rows, texts = [["ensemble without a server", f"{alone:.1f}", "", "", "", ""]], []
    command = [sys.executable, "-m", "serjax.serve", options.model, "--port", "0", "--max-megabytes", "8"]
    for name, faults in (("serjax.serve", False), ("serjax.serve with faults", True)):
        process, port = start(command, "Ready")
        try:
            warm = argparse.Namespace(**vars(options) | {"requests": options.requests // 10})
            asyncio.run(load_of(port, clips, expected, warm, None))
            before = resident(process.pid)
            result = asyncio.run(load_of(port, clips, expected, options, process.pid if faults else None))
            after = resident(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        rows.append(_row(name, result, alone, f"{before:.0f} -> {after:.0f} MiB"))
        texts.append(f"{name}: {_counts(result)}.")
        wrong = options.requests - result["counts"].get("right answers", 0)
        if wrong or process.returncode:
            raise SystemExit(f"{name}: {wrong} answers are wrong or lost; status {process.returncode}. {texts[-1]}")
    if options.peer_python:
        code = PEER.format(model=options.model, port=8_765, threads=len(os.sched_getaffinity(0)))
        process, _ = start([options.peer_python, "-c", code], "running on")
        try:
            result = asyncio.run(load_of(8_765, clips, [], options, None))
        finally:
            process.terminate()
            process.wait(60)
        rows.append(_row("FastAPI, transformers' pipeline", result, alone, ""))
        texts.append(f"FastAPI: {_counts(result)}.")
    else:
        texts.append("FastAPI with transformers is left out; it needs --peer-python, and a model of transformers.")
    head = ["", "clips/s", "of the bare ensemble", "p50", "p95", "memory at start and end"]
    publish([markdown(head, rows), *texts], options)


def _row(name: str, result: dict[str, Any], alone: float, memory: str) -> list[str]:
    times = [f"{1000 * result[key]:.0f} ms" for key in ("p50", "p95")]
    return [name, f"{result['rate']:.1f}", f"{result['rate'] / alone:.2f}", *times, memory]


def _counts(result: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in result["counts"].items())


if __name__ == "__main__":
    main()
