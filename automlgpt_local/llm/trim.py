"""What is left out of a conversation that does not fit into the context, and how that is told.

The policy, in this order, until the prompt fits:
1. the oldest exchanges go: a user's turn with the answers to it; system messages and the last turn stay;
2. the longest message loses its middle, a share at a time; its head and its tail stay, a line between them says how
   many characters are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from automlgpt_local.llm.template import Turn

HEAD_SHARE = 2 / 3  # of what is kept of a message: tasks are stated at the beginning, errors at the end
_SHRINK = 0.7
_SHORTEST_CHARACTERS = 400  # a message below this is left alone


def trim(messages: Sequence[Turn], fits: Callable[[Sequence[Turn]], bool]) -> tuple[list[Turn], str]:
    """(messages that fit, what was left out in words). Where nothing helps, the shortest form that was found."""
    kept, dropped = list(messages), 0
    while not fits(kept) and (exchange := _oldest_exchange(kept)):
        dropped += len(exchange)
        kept = [message for at, message in enumerate(kept) if at not in exchange]
    cut = 0
    sizes = [len(message["content"]) for message in kept]
    keep = list(sizes)
    shortened = kept
    while not fits(shortened) and max(keep, default=0) > _SHORTEST_CHARACTERS:
        longest = keep.index(max(keep))
        keep[longest] = max(_SHORTEST_CHARACTERS, int(keep[longest] * _SHRINK))
        shortened = [
            message if size == length else {**message, "content": without_middle(message["content"], length)}
            for message, size, length in zip(kept, sizes, keep)
        ]
        cut = sum(sizes) - sum(keep)
    words = [f"the {dropped} oldest messages"] if dropped else []
    words += [f"{cut:,} characters from the middle of long messages"] if cut else []
    return shortened, " and ".join(words) and f"The context was short: {' and '.join(words)} were left out."


def _oldest_exchange(messages: Sequence[Turn]) -> set[int]:
    """The places of the first exchange before the last user's turn; empty when only that turn is left."""
    begins = [at for at, message in enumerate(messages) if message["role"] == "user"]
    exchange = range(begins[0], begins[1]) if len(begins) > 1 else range(0)
    return {at for at in exchange if messages[at]["role"] != "system"}


def without_middle(text: str, characters: int) -> str:
    """Head and tail of `text`, `characters` together, cut at line ends where there are some nearby."""
    head = int(characters * HEAD_SHARE)
    start = text[:head]
    if (line_end := start.rfind("\n", head // 2)) > 0:
        start = start[:line_end]
    end = text[len(text) - (characters - head) :]
    if (line_end := end.find("\n", 0, len(end) // 2)) >= 0:
        end = end[line_end + 1 :]
    return f"{start}\n[... {len(text) - len(start) - len(end):,} characters left out ...]\n{end}"
