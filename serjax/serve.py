"""Serve a run or a published model over HTTP, with a page: `python -m serjax.serve RUN_OR_CHECKPOINT --port 8000`."""

import os
from collections.abc import Sequence
from pathlib import Path

from serjax import cli
from serjax.config import arguments
from serjax.runtime.errors import UserError

MIB = 1 << 20
PARSER = arguments.Parser(
    prog="python -m serjax.serve",
    description="An HTTP server for a run's folds or a published classifier, with a page for browsers at /. It speaks "
    "the Hugging Face inference API, OpenAI's transcriptions and a WebSocket for live sound; /docs describes them.",
)
PARSER.add_argument("model", help=arguments.MODEL_HELP)
PARSER.add_argument("--host", default="127.0.0.1", help="address to listen on; default: this machine alone")
PARSER.add_argument("--port", type=int, default=8000, help="port to listen on; default 8000, 0: any that is free")
PARSER.add_argument("--name", help="of the model in URLs and lists; default: that of its folder")
PARSER.add_argument("--api-key", metavar="KEY", help="ask clients for this key; default: SERJAX_API_KEY, or none")
PARSER.add_argument("--cors", nargs="+", default=(), metavar="ORIGIN", help="origins whose pages may call the server")
PARSER.add_argument("--max-megabytes", type=float, default=256, metavar="N", help="of a recording; default 256")
PARSER.add_argument("--max-seconds", type=float, default=7200, metavar="S", help="of a recording; default 7200")
PARSER.add_argument("--decode-seconds", type=float, default=60, metavar="S", help="to decode a recording; default 60")
PARSER.add_argument("--queue", type=int, default=256, metavar="N", help="requests in progress at most; default 256")
PARSER.add_argument("--memory", type=float, default=2048, metavar="N", help="MiB of sound held at most; default 2048")
PARSER.add_argument("--decoders", type=int, default=2, metavar="N", help="processes that decode; default 2")
PARSER.add_argument("--batch", type=int, choices=(1, 2, 4, 8), default=8, help="windows in a call at most; default 8")
PARSER.add_argument("--no-warm-up", action="store_true", help="be ready at once, and compile when clips come")
arguments.add_ensemble_options(PARSER)


def main(argv: Sequence[str]) -> int:
    """Serve the model that the command line names."""
    options = PARSER.parse_args(argv)
    for name in ("max_megabytes", "max_seconds", "decode_seconds", "queue", "memory", "decoders"):
        if not getattr(options, name) > 0:
            raise UserError(f"--{name.replace('_', '-')}: got {getattr(options, name):g}; give more than 0.")

    from serjax.inference.server.run import bind, serve  # first, for it says which packages are missing

    cli.show_log(stdout=False)
    from serjax.inference.load import load
    from serjax.inference.server.limits import Limits
    from serjax.inference.server.service import Service, Settings, read_card

    folder = Path(options.model).expanduser()
    with bind(options.host, options.port) as listening:
        ensemble = load(options.model, **arguments.ensemble_options(options))
        for note in ensemble.notes:
            cli.say(note)
        limits = Limits(
            max_bytes=round(options.max_megabytes * MIB),
            max_seconds=options.max_seconds,
            decode_seconds=options.decode_seconds,
            queue=options.queue,
            memory=round(options.memory * MIB),
            batch=options.batch,
        )
        settings = Settings(
            name=options.name or (folder.resolve().name if folder.is_dir() else options.model),
            card=read_card(folder),
            api_key=options.api_key or os.environ.get("SERJAX_API_KEY") or None,
            cors=tuple(options.cors),
            limits=limits,
            decoders=options.decoders,
            warm_up=not options.no_warm_up,
        )
        serve(Service(ensemble, settings), listening)
    return 0


if __name__ == "__main__":
    cli.run(main)
