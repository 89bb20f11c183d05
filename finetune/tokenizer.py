"""The nano's own tokenizer: byte-level BPE with a whole token for every word of the compact dialect.

The words are user-defined tokens, which llama.cpp and `tokenizers` both cut out of the text before the BPE, longest
first. No word is cut differently next to another one, so a template's pieces give the same ids apart or joined.
"""

from __future__ import annotations

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
    from automlgpt_local.agents import compact, ideas
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
        bare += [recipe.name, *recipe.grid, *(str(v) for values in recipe.grid.values() for v in values)]
    bare += [str(v) for v in _NUMBERS]
    words = [f" {w}" for w in [*facts, *compact.RECIPES]] + [w for w in bare if len(w) > 1]
    return list(dict.fromkeys(words))


_NUMBERS = (
    0.0, 0.001, 0.003, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.2, 0.25, 0.3, 0.33, 0.4, 0.5, 0.56,
    0.6, 0.7, 0.75, 0.8, 0.9, 1.0, 1.5, 2.0, 3.0, 5.0, 6.0, 10.0, 30.0, 100.0, 10, 12, 14, 15, 16, 20, 24, 25, 30, 31,
    32, 40, 48, 50, 53, 60, 63, 64, 80, 96, 100, 127, 128, 200, 255, 256, 300, 500, 512, 1000, None, True, False,
)  # fmt: skip


@dataclass(frozen=True)
class NanoTokenizer:
    """`core`: a `tokenizers.Tokenizer`."""

    core: Any

    @classmethod
    def build(cls, words: Iterable[str] | None = None, corpus: Iterable[str] | None = None) -> NanoTokenizer:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

        core = Tokenizer(models.BPE(byte_fallback=False))
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        core.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=len(SPECIAL) + 256 + BYTE_MERGES, special_tokens=list(SPECIAL), initial_alphabet=alphabet,
            show_progress=False,
        )  # fmt: skip
        core.train_from_iterator(corpus if corpus is not None else _plain_corpus(), trainer)
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
