"""`python -m finetune COMMAND`: data, train, evaluate, export, circle, nano. `automlgpt finetune …` is the same."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

from automlgpt_local import offline
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.exits import INTERNAL, USAGE
from automlgpt_local.paths import bundled_models_dir
from finetune.parity import ParityError
from finetune.quantise import KINDS

NANO_GGUF = bundled_models_dir() / "nano.gguf"
CONTINUE = "to be continued: call again"
STEPS = ("all", "measure", "rows", "train", "export", "evaluate")


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="automlgpt finetune", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True)

    data = commands.add_parser("data", help="recorded sessions to training rows")
    data.add_argument("sessions", nargs="+", type=Path, help="run directories, or folders of them")
    data.add_argument("--out", type=Path, help="(default: rows.jsonl, or messages.jsonl and so on after the format)")
    data.add_argument(
        "--format", choices=("rows", "messages", "sharegpt"), default="rows",
        help="rows: for the nano, without names and values; else full conversations for chat models",
    )  # fmt: skip
    data.add_argument("--only-kept", action="store_true", help="leave out decisions that the gate refused")
    data.add_argument(
        "--without", action="append", default=[], type=Path, metavar="TABLE_OR_RUNS",
        help="data sets for evaluation: sessions on the same table are left out, whichever rows they saw",
    )  # fmt: skip
    data.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help="of the data sets (default: 0.2)")
    data.add_argument("--licence", default="", help="a note on the data's licence, beside each row")
    data.add_argument("--cells", action="store_true", help="keep ranges and error messages, which show cell values")
    data.add_argument(
        "--preview", type=int, default=0, metavar="N", help="show N rows with the loss mask, write nothing"
    )

    train = commands.add_parser("train", help="a LoRA adapter: of the nano on rows, or of a chat model by --config")
    train.add_argument("rows", type=Path, nargs="?")
    train.add_argument("--config", type=Path, help="YAML recipe for a chat model; all else but --json is in it")
    train.add_argument(
        "--base", type=Path, default=NANO_GGUF, help="GGUF of the model to adapt (llama, compact dialect)"
    )
    train.add_argument("--out", type=Path, default=Path("adapter.gguf"))
    train.add_argument("--steps", type=int, default=200, help="at most; rows held out may end it before")
    train.add_argument(
        "--preview", type=int, default=0, metavar="N", help="show N examples with the loss mask, train nothing"
    )

    evaluate = commands.add_parser(
        "evaluate", help="before and after: agreement with rows, regret on generated tables, or what runs achieved"
    )
    evaluate.add_argument("what", nargs="*", type=Path, help="rows (JSONL), or folders of runs of several models")
    evaluate.add_argument("--base", type=Path, default=NANO_GGUF)
    evaluate.add_argument("--adapter", type=Path, help="of the base: what is asked after it")
    evaluate.add_argument("--other", type=Path, help="another whole GGUF instead of an adapter")
    evaluate.add_argument("--all", action="store_true", help="all rows, not only those that are held out")
    evaluate.add_argument("--regret", type=int, default=0, metavar="N", help="on N tables of families never trained on")
    evaluate.add_argument("--page", type=Path, default=Path("evaluation.md"), help="the table as Markdown")

    export = commands.add_parser("export", help="a Hugging Face folder (llama, qwen2, qwen3) to a checked GGUF")
    export.add_argument("folder", type=Path)
    export.add_argument("--out", type=Path, required=True)
    export.add_argument("--adapter", type=Path, help="a PEFT adapter of FOLDER: write it as a GGUF adapter instead")
    export.add_argument("--merge", action="store_true", help="merge the adapter into the model")
    export.add_argument("--kind", choices=("F32", "F16", *KINDS), help="(default: F16)")
    export.add_argument("--name", help="register the file under this name: `--model NAME` then means it")
    export.add_argument("--licence", default="", help="of the weights, written into the file")

    circle = commands.add_parser("circle", help="sessions -> rows -> LoRA -> adapter -> llama.cpp -> measured")
    circle.add_argument("--base", type=Path, default=NANO_GGUF)
    circle.add_argument("--quick", action="store_true")
    circle.add_argument(
        "--rule", action="append", metavar="KIND=TREATMENT", help="of the house, may be repeated (default: text=drop)"
    )
    circle.add_argument(
        "--first", default="random_forest", metavar="RECIPE", help="the recipe that the house tries first"
    )

    nano = commands.add_parser("nano", help="the embedded model from nothing; each step can be ended and called again")
    nano.add_argument("--step", choices=STEPS, default="all")
    nano.add_argument("--out", type=Path, default=Path("nano.gguf"))
    nano.add_argument("--minutes", type=float, default=20, help="of training")
    nano.add_argument("--measure-minutes", type=float, default=30, help="of measuring the recipes on generated tables")
    nano.add_argument("--slice", type=float, metavar="SECONDS", help="end after so many seconds; call again to go on")
    nano.add_argument(
        "--shard", default="0/1", metavar="K/N", help="with --step measure: the part of process K of N, from 0"
    )
    nano.add_argument("--tables", type=int, default=1500)

    for command in (train, evaluate, circle, nano):
        command.add_argument("--work", type=Path, default=Path("finetune/out"), help="folder for all that is made")
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--seed", type=int, default=0)
    for command in (data, train, evaluate, export, circle, nano):
        command.add_argument("--json", action="store_true", help="print the result as JSON (the default for most)")
    return main


def main(argv: list[str] | None = None) -> int:
    """2: settings or files that cannot be used. 1: what was made does not say in llama.cpp what it says here.

    70: a defect of ours.
    """
    offline.enforce()
    args = parser().parse_args(argv)
    steps = {
        "data": _data, "train": _train, "evaluate": _evaluate, "export": _export, "circle": _circle, "nano": _nano,
    }  # fmt: skip
    try:
        result = steps[args.command](args)
    except (ValueError, OSError, ImportError, AutoMLGPTError, ParityError) as problem:
        print(f"finetune {args.command}: {problem}", file=sys.stderr)
        return 1 if isinstance(problem, ParityError) else USAGE
    except Exception:
        traceback.print_exc()
        return INTERNAL
    print(json.dumps(result, indent=None if args.json else 1))
    return 0


def _circle(args: argparse.Namespace) -> object:
    from finetune import circle

    size = circle.QUICK if args.quick else circle.Size()
    house = circle.House.parse(args.rule or ["text=drop"], args.first)
    return circle.run(args.work / "circle", args.base, house=house, size=size, seed=args.seed, threads=args.threads)


def _data(args: argparse.Namespace) -> object:
    from finetune import traces
    from finetune.records import say
    from finetune.rows import write_rows

    sessions = traces.sessions_below(args.sessions)
    usable = traces.apart_from(sessions, [names for path in args.without for names in traces.columns_of(path)])
    left_out = len(sessions) - len(usable)
    wanted = traces.Wanted(args.only_kept, args.cells, args.licence)
    found, broken = traces.collect(usable, wanted, chat=args.format != "rows")
    if not found:
        why = f"{left_out} are on tables of --without, {len(broken)} cannot be read"
        raise ValueError(f"no decision to learn from in {len(sessions)} sessions ({why})")
    rows, out = traces.split(found, args.held_out), args.out or Path(f"{args.format}.jsonl")
    if args.held_out and not any(r.held_out for r in rows):
        say("no data set is held out: training will not end early, and `evaluate` needs --all")
    if args.preview:
        sys.stderr.write("\n".join(traces.preview(row) for row in rows[: args.preview]) + "\n")
    elif args.format == "rows":
        write_rows(out, rows)
    else:
        form = traces.as_messages if args.format == "messages" else traces.as_sharegpt
        out.write_text("".join(json.dumps(form(r), ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return {"sessions": len(sessions), "left_out": left_out, "unreadable": [str(p) for p in broken], "rows": len(rows),
            "held_out": sum(r.held_out for r in rows), "data_sets": len({r.group for r in rows})}  # fmt: skip


def _evaluate(args: argparse.Namespace) -> object:
    from finetune import evaluate, sessions, traces
    from finetune.rows import read_rows

    runs = [path for path in args.what if path.is_dir()]
    if runs:
        found = sessions.outcomes(traces.sessions_below(runs))
        args.page.write_text(sessions.page(found), encoding="utf-8")
        return found
    if not args.what and not args.regret:
        raise ValueError("say what to evaluate: rows (JSONL of `finetune data`), folders of runs, or --regret N")
    result: dict[str, object] = {}
    models = {"before": evaluate.Served(args.base)}
    if args.adapter or args.other:
        models["after"] = evaluate.Served(args.other or args.base, args.adapter)
    if args.what:
        rows = [r for path in args.what for r in read_rows(path) if r.held_out or args.all]
        if not rows:
            raise ValueError("no row is held out: with --all every row counts, also those that were trained on")
        result |= {name: evaluate.agreement(model, rows) for name, model in models.items()}
    if args.regret:
        result |= evaluate.regret_of(models, args.work / "measure", args.regret, args.page)
    return result


def _export(args: argparse.Namespace) -> object:
    if args.adapter and not args.merge:
        if args.name:
            raise ValueError("an adapter has no name of its own: `--model BASE+FILE` means it. Or add --merge")
        if args.kind not in (None, "F32"):
            raise ValueError(f"an adapter is always written in F32, not in {args.kind}. Or add --merge")
        from finetune.lora import write_peft_adapter

        return write_peft_adapter(args.adapter, args.folder, args.out, args.licence)
    from automlgpt_local.llm import catalog
    from finetune.hf_export import export_folder

    found = export_folder(args.folder, args.out, kind=args.kind or "F16", adapter=args.adapter, licence=args.licence)
    if not args.name:
        return found
    return {**found, "registered": catalog.import_(args.out, args.name, link=True).to_json()}


def _train(args: argparse.Namespace) -> object:
    from finetune import adapt, chat

    if args.config:
        recipe = chat.Recipe.load(args.config)
        for_nano = recipe.base.endswith(".gguf")
        if not args.preview:
            return adapt.train_recipe(recipe) if for_nano else chat.train(recipe)
        shown = adapt.preview(Path(recipe.rows), args.preview) if for_nano else chat.preview(recipe, args.preview)
        sys.stderr.write(shown)
        return {"shown": args.preview}
    if args.rows is None:
        raise ValueError("give rows (JSONL of `finetune data`) or --config RECIPE.yaml")
    if args.preview:
        sys.stderr.write(adapt.preview(args.rows, args.preview))
        return {"shown": args.preview}
    if args.steps < 1:
        raise ValueError("--steps must be 1 or more")
    from finetune.model import Training
    from finetune.rows import read_rows

    settings = Training(seconds=1e9, steps=args.steps, seed=args.seed, threads=args.threads, **adapt.SMALL)
    return adapt.train_adapter(args.base, list(read_rows(args.rows)), args.work / "adapter", args.out, settings)


def _nano(args: argparse.Namespace) -> object:
    from finetune import evaluate, nano
    from finetune.model import Training

    args.work.mkdir(parents=True, exist_ok=True)
    until = float("inf") if args.slice is None else time.monotonic() + args.slice
    if args.step == "measure":
        part, parts = map(int, args.shard.split("/"))
        return nano.measure(args.work, args.measure_minutes * 60, until, (part, parts)) or CONTINUE
    if args.step == "rows":
        return nano.make_rows(args.work, args.tables, args.seed, until) or CONTINUE
    if args.step == "train":
        settings = Training(seconds=args.minutes * 60, threads=args.threads, seed=args.seed, slice_s=args.slice)
        return nano.train_nano(args.work, settings) or CONTINUE
    if args.step == "export":
        return nano.export(args.work, args.out)
    if args.step == "evaluate":
        return evaluate.held_out(args.work)
    found = nano.run(
        args.work, args.out, args.minutes, args.measure_minutes, args.tables, args.threads, args.seed, args.slice
    )
    return found or CONTINUE


if __name__ == "__main__":
    sys.exit(main())
