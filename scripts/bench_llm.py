"""Speed of the serving layer, as ratios within one run: `python scripts/bench_llm.py --json [--quick]`.

    decode_ratio           tokens/s of a chat turn through the worker / the C loop (bench_decode.c), 0.5B shape
    decode_ratio_nano      the same with the embedded model
    grammar_ratio          time per token under a grammar / without, 152k vocabulary, one first sample in ten refused
    fill_in_ratio          seconds of a decision over 40 columns by fill-in / by grammar, the same JSON, no refusals
    reevaluated_tokens     tokens of 40 turns of two agents that were evaluated more than once, with and without an
                           adapter on the Coder
    cancel_ms              from a cancellation in the middle of a long prompt, or of writing, to the worker's answer
    memory_forecast_error  relative, against the worker's peak; the largest of five architectures

Medians of `--rounds`, ours and the baseline in turn. The C loop is compiled here against the llama.cpp that
llama-cpp-python brought, so both sides run the same kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit")]

from llm_fixtures import make_vocabulary, write_adapter, write_model

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.backend import Choice, Text
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.memory import forecast
from automlgpt_local.llm.runtime import Runtime
from automlgpt_local.llm.sampling import Sampler, SamplingOptions

VOCABULARY = 151_936
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma", "phi3")
CACHE = Path(os.environ.get("AUTOMLGPT_BENCH_DIR", Path.home() / ".cache" / "automlgpt-local" / "bench"))


def half_billion(quick: bool) -> Path:
    """Qwen2.5-0.5B's shape with random weights in Q8_0; `quick`: a quarter of its layers."""
    layers = 6 if quick else 24
    path = CACHE / f"shape-0.5b-{layers}.gguf"
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write_model(
            part, width=896, layers=layers, heads=14, kv_heads=2, inner=4864, context=4096, dialect=None,
            extra_tokens=VOCABULARY - len(make_vocabulary()[0]), q8=True, scale=0.02,
        )  # fmt: skip
        part.replace(path)
    return path


def compile_baseline() -> Path:
    """bench_decode.c against the installed llama.cpp."""
    spec = find_spec("llama_cpp")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    target = CACHE / "bench_decode"
    CACHE.mkdir(parents=True, exist_ok=True)
    libraries = package / "lib"
    command = [
        "cc", "-O2", str(ROOT / "scripts" / "bench_decode.c"), "-o", str(target), f"-I{package.parent / 'include'}",
        f"-L{libraries}", "-lllama", "-lggml", "-lggml-cpu", "-lggml-base", f"-Wl,-rpath,{libraries}",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return target


def alternate(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Each measure in turn, `rounds` times: what the machine does meanwhile meets all of them."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for values, measure in zip(found, measures):
            values.append(measure())
    return found


def ratio_of(found: list[list[float]]) -> float:
    """Median of the first over the second, round by round."""
    return statistics.median(a / b for a, b in zip(*found))


# --- decode
def decode_ratio(
    model: Path, baseline: Path, *, prompt: int, tokens: int, threads: int, rounds: int
) -> dict[str, float]:
    """Ours is a whole chat turn: sampling, checks, UTF-8, a frame through the pipe for each piece of text."""
    context = 2048
    with LocalBackend(model, threads=threads, context_tokens=context) as backend:
        assert backend.info

        prompt_tokens = 0

        def ours() -> float:
            times: list[float] = []
            request = {
                "op": "chat", "agent": "coder", "messages": [{"role": "user", "content": "the log " * (prompt // 3)}],
                "schema": None, "max_tokens": tokens, "sampling": {"temperature": 0.0}, "ignore_end": True,
            }  # fmt: skip
            nonlocal prompt_tokens
            answer = backend._ask(request, 600.0, lambda text: times.append(time.perf_counter()))
            prompt_tokens = answer["prompt_tokens"]
            return (answer["output_tokens"] - 1) / (time.perf_counter() - times[0])

        def theirs() -> float:
            command = [str(baseline), str(model), str(prompt_tokens), str(tokens), str(threads), str(context)]
            return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        ours()
        found = alternate(rounds, ours, theirs)
    return {
        "ratio": ratio_of(found),
        "tokens_per_s": statistics.median(found[0]),
        "c_tokens_per_s": statistics.median(found[1]),
    }


# --- grammar
def grammar_ratios(model: Path, *, threads: int, tokens: int, rounds: int) -> dict[str, Any]:
    """A JSON text is replayed: after each real evaluation the logits are overwritten so that its next token wins, or,
    at the given rate, a token that the grammar must refuse wins first. A token's time is the median of the run's
    evaluations, so that what else the machine does hides nothing, and the mean of what choosing it took."""
    from automlgpt_local.llm.grammar import Grammar

    schema = {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": {"type": "string", "maxLength": 30}}},
        "required": ["steps"],
    }
    runtime = Runtime(model, threads=threads, context_tokens=2048)
    text = '{"steps": ["' + '", "'.join(f"drop none keep log {n}" for n in range(60)) + '"]}'
    script = list(runtime.tokenize(text, parse_special=False))[:tokens]
    refused_token = runtime.tokenize("\n", parse_special=False)[0]  # never inside a JSON string
    noise = np.random.default_rng(0).normal(0, 2, runtime.n_vocab).astype(np.float32)

    refused: dict[float, float] = {}  # asked for -> share of first samples that the grammar did refuse

    def run(rate: float | None) -> float:
        """Seconds per token."""
        grammar = Grammar.for_schema(runtime, schema) if rate is not None else None
        sampler = Sampler(SamplingOptions(temperature=0.2))
        sequence = runtime.sequence("coder")
        sequence.start([20, 21, 22])
        choosing, evaluating = 0.0, list[float]()
        for number, token in enumerate(script):
            started = time.perf_counter()
            logits = sequence.logits()
            evaluating.append(time.perf_counter() - started)
            logits[:] = noise
            logits[token] = 30.0
            if rate and number * 7 % 10 < 10 * rate:
                logits[refused_token] = 60.0
            started = time.perf_counter()
            drawn = sampler.sample(logits, grammar.allowed if grammar else None)
            if grammar:
                grammar.accept(drawn)
            sequence.feed([drawn])
            choosing += time.perf_counter() - started
            assert drawn == token
        if grammar and rate is not None:
            grammar.close()
            refused[rate] = sampler.refused / len(script)
        return statistics.median(evaluating) + choosing / len(script)

    run(None)
    free, none, some, most = alternate(rounds, lambda: run(None), lambda: run(0.0), lambda: run(0.1), lambda: run(0.7))
    runtime.close()
    return {
        "grammar_ratio_0": ratio_of([none, free]),
        "grammar_ratio": ratio_of([some, free]),
        "grammar_ratio_70": ratio_of([most, free]),
        "grammar_ms_10": 1000 * statistics.median(some),
        "unconstrained_ms": 1000 * statistics.median(free),
        "refused_shares": list(refused.values()),
    }


# --- fill-in
def fill_in_ratio(model: Path, *, threads: int, rounds: int, columns: int = 40) -> dict[str, float]:
    """The grammar path is taken at its best: each token of the same JSON wins at once, as a trained model's would."""
    from automlgpt_local.llm.fillin import Filler
    from automlgpt_local.llm.grammar import Grammar

    options = ("keep", "log", "drop", "none")
    names = [f"c{n}" for n in range(columns)]
    schema = {
        "type": "object",
        "properties": {name: {"enum": list(options)} for name in names},
        "required": names,
    }
    template: list[Any] = []
    for number, name in enumerate(names):
        template += [('{"' if number == 0 else '", "') + f'{name}": "', Choice(name, options)]
    template.append('"}')
    runtime = Runtime(model, threads=threads, context_tokens=2048)
    prompt = list(runtime.tokenize("the table has columns " * 20))
    written = ""

    def begin() -> Any:
        sequence = runtime.sequence("coder")
        sequence.start(prompt)
        sequence.logits()
        return sequence

    def fill() -> float:
        nonlocal written
        sequence = begin()
        started = time.perf_counter()
        written = Filler(runtime, sequence).fill(template).text
        seconds = time.perf_counter() - started
        assert set(json.loads(written)) == set(names)
        return seconds

    def grammar() -> float:
        sequence = begin()
        started = time.perf_counter()
        judge, sampler = Grammar.for_schema(runtime, schema), Sampler(SamplingOptions(temperature=0.2))
        for token in runtime.tokenize(written, parse_special=False):
            logits = sequence.logits()
            logits[token] = 1e4
            assert sampler.sample(logits, judge.allowed) == token
            judge.accept(token)
            sequence.feed([token])
        judge.close()
        return time.perf_counter() - started

    fill()
    found = alternate(rounds, fill, grammar)
    runtime.close()
    return {
        "fill_in_ratio": ratio_of(found),
        "fill_in_s": statistics.median(found[0]),
        "grammar_json_s": statistics.median(found[1]),
    }


# --- the rest
def reevaluated_tokens() -> int:
    """Over 40 turns of two agents that share 16,384 tokens of context, without and with an adapter on the Coder."""
    surplus = 0
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder) / "tiny.gguf", context=16384)
        adapter = write_adapter(Path(folder) / "adapter.gguf")
        for adapters in ({}, {"coder": adapter}):
            with LocalBackend(model, context_tokens=16384, adapters=adapters) as backend:
                surplus += _surplus_of_turns(backend)
    return surplus


def _surplus_of_turns(backend: LocalBackend) -> int:
    transcripts = {"reasoner": ["a reasoner. "], "coder": ["the coder. "]}
    known = {"reasoner": 0, "coder": 0}
    surplus = 0
    for turn in range(40):
        agent = ("reasoner", "coder")[turn % 2]
        transcripts[agent].append(f"\nattempt {turn}: " + "details and more details " * 12)
        question = f"\nnext {turn} = "
        filled = backend.fill(agent, transcripts[agent], [question, Choice("x", ("log", "none", "drop")), "\n"])
        now = sum(map(backend.count_tokens, [*transcripts[agent], question]))
        if known[agent]:  # the first turn also reads BOS, or shares a prefix with the other agent
            surplus += filled.evaluated_tokens - (now - known[agent])
        known[agent] = now
        transcripts[agent].append(filled.text)
    return surplus


def cancel_ms(model: Path, *, threads: int, rounds: int) -> dict[str, float]:
    """In the middle of a prompt of some thousand tokens, and in the middle of writing."""
    found: dict[str, list[float]] = {"prefill": [], "decode": []}
    with LocalBackend(model, threads=threads, context_tokens=4096) as backend:
        assert backend.info
        for number in range(rounds):
            for phase, prompt in (("prefill", f"{number} " + "the log " * 600), ("decode", "the log")):
                at: list[float] = []

                def cancel(at: list[float] = at) -> None:
                    at.append(time.perf_counter())
                    backend.cancel()

                threading.Timer(0.5, cancel).start()
                try:
                    backend.fill("coder", [prompt], [Text("t", "\0\0", 3000)], temperature=1.0)
                except BackendError:
                    found[phase].append(1000 * (time.perf_counter() - at[0]))
    return {phase: statistics.median(times) if times else float("nan") for phase, times in found.items()}


def memory_forecast_errors() -> dict[str, float]:
    """Architecture -> forecast / the worker's peak - 1, for models of random weights with some 300 MiB."""
    errors = {}
    for architecture in ARCHITECTURES:
        with tempfile.TemporaryDirectory() as folder:
            model = write_model(
                Path(folder) / "model.gguf", architecture=architecture, width=512, layers=6, heads=8, kv_heads=4,
                context=8192, extra_tokens=20_000, dialect=None, scale=0.02, half=True,
            )  # fmt: skip
            expected = forecast(model, 2 * 8192).total_mib
            with LocalBackend(model, context_tokens=8192) as backend:
                backend.fill("coder", ["the table " * 120], ["x", Choice("x", ("log", "none"))])
                errors[architecture] = expected / backend.stats()["peak_mib"] - 1
    return errors


def stages(options: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """The parts of the benchmark by name, in order."""
    threads, quick = options.threads, options.quick
    rounds = options.rounds or (3 if quick else 5)
    nano = ROOT / "models" / "nano.gguf"

    def model() -> Path:
        return half_billion(quick)

    def decode() -> dict[str, Any]:
        tokens = 24 if quick else 64
        found = decode_ratio(model(), compile_baseline(), prompt=48, tokens=tokens, threads=threads, rounds=rounds)
        return {
            "decode_ratio": found["ratio"],
            "decode_tokens_per_s": found["tokens_per_s"],
            "decode_c_tokens_per_s": found["c_tokens_per_s"],
        }

    def decode_nano() -> dict[str, Any]:
        found = decode_ratio(nano, compile_baseline(), prompt=48, tokens=600, threads=1, rounds=max(5, rounds))
        return {
            "decode_ratio_nano": found["ratio"],
            "nano_tokens_per_s": found["tokens_per_s"],
            "nano_c_tokens_per_s": found["c_tokens_per_s"],
        }

    def cancel() -> dict[str, Any]:
        found = cancel_ms(model(), threads=threads, rounds=rounds)
        return {"cancel_ms": max(found.values()), "cancel_ms_by_phase": found}

    def memory() -> dict[str, Any]:
        errors = memory_forecast_errors()
        return {"memory_forecast_error": max(map(abs, errors.values())), "memory_forecast_errors": errors}

    return {
        "decode": decode,
        "nano": decode_nano,
        "grammar": lambda: grammar_ratios(model(), threads=threads, tokens=40 if quick else 100, rounds=rounds),
        "fill": lambda: fill_in_ratio(model(), threads=threads, rounds=rounds),
        "cache": lambda: {"reevaluated_tokens": reevaluated_tokens()},
        "cancel": cancel,
        "memory": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object")
    parser.add_argument("--quick", action="store_true", help="a quarter of the layers, three rounds")
    parser.add_argument("--only", default="", help="some of decode,nano,grammar,fill,cache,cancel,memory")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else []
    figures: dict[str, Any] = {"threads": options.threads, "quick": options.quick}
    for name, stage in stages(options).items():
        if not wanted or name in wanted:
            started = time.monotonic()
            found = stage()
            print(f"{name} ({time.monotonic() - started:.0f} s): {json.dumps(found)}", file=sys.stderr, flush=True)
            figures |= found
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:.3f}" if isinstance(value, float) else f"{name:24} {value}")


if __name__ == "__main__":
    main()
