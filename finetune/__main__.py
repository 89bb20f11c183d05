"""`python -m finetune COMMAND`: nano (all of it), measure, rows, train, export, evaluate."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="finetune", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True)
    for name, text in {
        "nano": "the embedded nano from nothing: measure, rows, train, export, evaluate",
        "measure": "measure recipes on generated tables for some seconds; resumable",
        "rows": "write rows.jsonl from the truth and the measurements",
        "train": "train on rows.jsonl; resumable",
        "export": "write the GGUF and check it against the weights",
        "evaluate": "held-out figures",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--work", type=Path, default=Path("nano-work"), help="folder for all that is made")
        command.add_argument("--out", type=Path, default=Path("models/nano.gguf"))
        command.add_argument("--minutes", type=float, default=20, help="of training")
        command.add_argument("--measure-minutes", type=float, default=30)
        command.add_argument("--seconds", type=float, help="end this step after so many seconds; call again to go on")
        command.add_argument("--tables", type=int, default=1500)
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--seed", type=int, default=0)
    return main


def main(argv: list[str] | None = None) -> int:
    from finetune import evaluate, nano
    from finetune.model import Training

    args = parser().parse_args(argv)
    args.work.mkdir(parents=True, exist_ok=True)
    if args.command == "nano":
        nano.run(args.work, args.out, args.minutes, args.measure_minutes, args.tables, args.threads, args.seed)
    elif args.command == "measure":
        print(nano.measure(args.work, args.seconds or args.measure_minutes * 60))
    elif args.command == "rows":
        print(json.dumps(nano.make_rows(args.work, args.tables, args.seed)))
    elif args.command == "train":
        settings = Training(seconds=args.minutes * 60, threads=args.threads, seed=args.seed, slice_s=args.seconds)
        print("done" if nano.train_nano(args.work, settings) else "to be continued")
    elif args.command == "export":
        print(json.dumps(nano.export(args.work, args.out)))
    else:
        print(json.dumps(evaluate.held_out(args.work), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
