"""The nano's own tokenizer: byte-level BPE with a whole token for every word of the compact dialect.

The words are user-defined tokens, which llama.cpp and `tokenizers` both cut out of the text before the BPE. No word is
cut differently next to another one, so a template's pieces give the same ids apart or joined. Numbers are not among
them, for "31" and "12" would quarrel over "312": each known run of digits is one token by merges of its own instead,
so that no option of a grid is the beginning of another one.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

SPECIAL = ("<pad>", "<s>", "</s>")
BYTE_MERGES = 160  # merges for plain text outside the dialect (requests, code); enough to halve its length


def dialect_words() -> list[str]:
    """Every word that the compact dialect can write, as it stands in the text (with its leading blank)."""
    from automlgpt_local import recipes
    from automlgpt_local.agents import blocks, compact, ideas
    from automlgpt_local.metrics import METRICS

    facts: list[str] = [*compact.TREATMENTS, *ideas.OPS, *METRICS, *compact.TOOLS]
    facts += [
        "binary",
        "multiclass",
        "regression",
        "int",
        "real",
        "pos",
        "neg",
        "leak",
        "same",
        "other",
        "more",
        "next",
    ]
    facts += ["best", "high", "middle", "low"]
    facts += [f"{letter}{i}" for letter in "mufkzdwagtqxv" for i in [*range(10), "-"]]
    facts += [f"h{hint}" for hint in ("id", "code", "time", "count", "money", "words", "-")]
    facts += [
        f"{w}{i}" for w in ("rows", "cols", "time", "miss", "num", "cat", "txt", "dat", "bal") for i in [*range(8), "-"]
    ]
    bare = ["reasoner", "coder", "treat", "look", "features", "board", "tune", "params", "yes", "no", "stop", "done"]
    bare += [*compact.TOOLS, *compact.RECIPES, *(o for options in compact.TREATMENTS.values() for o in options)]
    bare += [f"c{i}" for i in range(64)] + [f"f{i}" for i in range(32)]
    for recipe in recipes.load(installed_only=False).values():
        bare += [recipe.name, *recipe.grid]
        bare += [str(v) for values in recipe.grid.values() for v in values if not re.search(r"\d", str(v))]
    after_failed = [*(o for options in blocks.PLACES.values() for o in options), *compact.FAILURES]
    bare += ["own", "failed", *blocks.PLACES, *after_failed]
    facts += after_failed
    bare += ["None", "True", "False"]
    words = [f" {w}" for w in [*facts, *compact.RECIPES]] + [w for w in bare if len(w) > 1]
    return list(dict.fromkeys(words))


def digit_runs() -> list[str]:
    """Runs of digits in the values of all grids, and in round numbers that a grid may get."""
    from automlgpt_local import recipes

    values = [str(v) for r in recipes.load(installed_only=False).values() for vs in r.grid.values() for v in vs]
    values += [str(v) for v in _NUMBERS]
    return sorted({run for value in values for run in re.findall(r"\d+", value) if len(run) > 1})


_NUMBERS = (
    0.001, 0.003, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.12, 0.15, 0.25, 0.33, 0.56, 0.75, 10,
    12, 14, 15, 16, 20, 24, 25, 30, 31, 32, 40, 48, 50, 53, 60, 63, 64, 80, 96, 100, 127, 128, 150, 200, 250, 255, 256,
    300, 400, 500, 512, 600, 1000, 2000,
)  # fmt: skip


def _with_runs(model: dict[str, Any], runs: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and merges of a BPE in which each run of digits becomes one token.

    New merges rank behind all others, so they change nothing that was one token before.
    """
    vocabulary: dict[str, int] = dict(model["vocab"])
    merges: list[tuple[str, str]] = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    ranks = {pair: i for i, pair in enumerate(merges)}
    for run in runs:
        parts = list(run)
        while len(parts) > 1:
            pairs = [(ranks.get((a, b), len(ranks)), i) for i, (a, b) in enumerate(itertools.pairwise(parts))]
            rank, i = min(pairs)
            if rank == len(ranks):
                ranks[parts[i], parts[i + 1]] = rank
                merges.append((parts[i], parts[i + 1]))
                vocabulary.setdefault(parts[i] + parts[i + 1], len(vocabulary))
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return vocabulary, merges


@dataclass(frozen=True)
class NanoTokenizer:
    """`core`: a `tokenizers.Tokenizer`. `pre`: llama.cpp's name for the rule that splits text before the BPE."""

    core: Any
    pre: str = "gpt-2"
    add_bos: bool = True
    chat_template: str = ""

    @classmethod
    def build(cls, words: Iterable[str] | None = None, corpus: Iterable[str] | None = None) -> NanoTokenizer:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        core.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=len(SPECIAL) + 256 + BYTE_MERGES, special_tokens=list(SPECIAL), initial_alphabet=alphabet,
            show_progress=False,
        )  # fmt: skip
        core.train_from_iterator(corpus if corpus is not None else _plain_corpus(), trainer)
        vocabulary, merges = _with_runs(json.loads(core.to_str())["model"], digit_runs())
        core.model = models.BPE(vocab=vocabulary, merges=merges)
        known = core.get_vocab()
        wanted = [w for w in (words if words is not None else dialect_words()) if w not in known]
        core.add_tokens([AddedToken(w, normalized=False, special=False) for w in wanted])
        return cls(core)

    @classmethod
    def load(cls, path: Path) -> NanoTokenizer:
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_file(str(path)))

    def save(self, path: Path) -> None:
        self.core.save(str(path))

    @property
    def size(self) -> int:
        return int(self.core.get_vocab_size(with_added_tokens=True))

    @cached_property
    def bos(self) -> int:
        return int(self.core.token_to_id("<s>"))

    @cached_property
    def eos(self) -> int:
        return int(self.core.token_to_id("</s>"))

    @cached_property
    def pad(self) -> int:
        return int(self.core.token_to_id("<pad>"))

    def ids(self, text: str) -> list[int]:
        return list(self.core.encode(text, add_special_tokens=False).ids)

    def text(self, ids: list[int]) -> str:
        return str(self.core.decode(ids, skip_special_tokens=False))


def _plain_corpus() -> Iterator[str]:
    """English and Python that ship with this package: the recipes and the modules of the agents."""
    import automlgpt_local.recipes as recipes
    from automlgpt_local.agents import compact, ideas

    for recipe in recipes.load(installed_only=False).values():
        yield recipe.source
    for module in (compact, ideas):
        yield Path(str(module.__file__)).read_text(encoding="utf-8")
