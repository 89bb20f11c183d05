"""Writes renderings.json: what Hugging Face's own renderer makes of the real templates in the cache. Run by hand."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

TALKS = {
    "system": [
        {"role": "system", "content": "You decide."},
        {"role": "user", "content": "Hi é"},
        {"role": "assistant", "content": "<b>x</b>"},
        {"role": "user", "content": "go\n"},
    ],
    "user": [{"role": "user", "content": "{{ 1 }} </think>"}],
}
VARIABLES = {"plain": {}, "thinking": {"enable_thinking": True}, "silent": {"enable_thinking": False}}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "", "pad_token": ""}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main(folder: Path) -> None:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    renderings = {}
    for file in sorted(folder.glob("*.jinja")):
        source = file.read_text(encoding="utf-8")
        for talk, messages in TALKS.items():
            for name, variables in VARIABLES.items():
                fixed = {"strftime_now": lambda form: "2026-01-02"}
                try:
                    template = _compile_jinja_template(source)
                    text = template.render(
                        messages=messages, add_generation_prompt=True, **TOKENS, **variables, **fixed
                    )
                except Exception:  # the template refuses this talk: ours folds it, which is tested elsewhere
                    continue
                renderings[f"{file.stem} {digest(source)} {talk} {name}"] = digest(text)
    target = Path(__file__).with_name("renderings.json")
    target.write_text(json.dumps(renderings, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(renderings)} renderings in {target.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
