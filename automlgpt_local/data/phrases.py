"""Words for metrics, kinds, durations, counts and model families, as people write them."""

from __future__ import annotations

import re

from automlgpt_local.task import Kind

COMMON_WORDS = frozenset(
    {"the", "and", "for", "with", "whether", "that", "this", "they", "will", "have", "has", "had", "was", "are", "not",
     "from", "than", "each", "all", "any", "our", "can", "how"}
)  # fmt: skip

# Longer and more special phrases first: "balanced accuracy" before "accuracy".
_METRICS: tuple[tuple[str, str], ...] = (
    ("rmsle", r"rmsle|root[\s-]*mean[\s-]*squared?[\s-]*log(?:arithmic)?[\s-]*error"
              r"|(?:mean\s+)?squared\s+log(?:arithmic)?\s+error"),
    ("medae", r"medae|median[\s-]+(?:absolute[\s-]+)?error"),
    ("mape", r"mape|mean[\s-]+absolute[\s-]+percent(?:age)?[\s-]+error|percent(?:age)?\s+error|relative\s+error"),
    ("rmse", r"rmse|mse|root[\s-]*mean[\s-]*squared?[\s-]*(?:error|deviation)|(?:mean[\s-]+)?squared?[\s-]+errors?"
             r"|least\s+squares"),
    ("mae", r"mae|(?:mean|average)[\s-]+absolute[\s-]+(?:error|deviation)|absolute\s+errors?"),
    ("r2", r"r2|r²|r\^2|r[\s-]squared?|explained\s+variance|coefficient\s+of\s+determination"),
    ("tweedie", r"tweedie(?:\s+deviance)?"),
    ("average_precision", r"average[\s_-]+precision|pr[\s_-]*auc|auprc|auc[\s_-]*pr|precision[\s-]recall"
                          r"(?:\s+(?:curve|auc))?"),
    ("roc_auc", r"roc[\s_-]*auc|auc[\s_-]*roc|auroc|auc|roc|area\s+under\s+the\s+(?:roc\s+)?curve"),
    ("log_loss", r"log[\s_-]*loss|cross[\s-]*entropy|log[\s-]*likelihood|deviance|calibrated\s+probabilit(?:y|ies)"),
    ("balanced_accuracy", r"balanced[\s_-]+accuracy|mean\s+recall"),
    ("f1_macro", r"macro[\s_-]*(?:averaged[\s_-]*)?f[\s_-]*1(?:[\s_-]*score)?"
                 r"|f[\s_-]*1[\s_-]*(?:score[\s_-]*)?\(?macro\)?"),
    ("f1", r"f[\s_-]?1(?:[\s_-]*score)?|f[\s-]score|f[\s-]measure"),
    ("mcc", r"mcc|matthews(?:\s+corr\w*(?:\s+coefficient)?)?"),
    ("qwk", r"qwk|(?:quadratic(?:ally)?[\s-]+(?:weighted[\s-]+)?)?(?:cohen'?s\s+)?kappa"),
    ("accuracy", r"accuracy|error\s+rate|correct\s+(?:predictions|answers)|hit\s+rate"),
    ("precision", r"precision"),
    ("recall", r"recall|sensitivity|true\s+positive\s+rate"),
)  # fmt: skip
_WANTS = (
    r"(?:minimi[sz]\w*|maximi[sz]\w*|optimi[sz]\w*|metric|scored?|scoring|evaluat\w+|measured?|judged?|best|highest|lowest"
    r"|low|high|good|by|for|on|with|using|in\s+terms\s+of)[\s:=]+(?:by\s+|with\s+|on\s+|is\s+|of\s+|using\s+|for\s+|the\s+|possible\s+)*"
)

_BOOSTING = ("lightgbm", "xgboost", "catboost")
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"light[\s-]?gbm|lgbm|lgb", ("lightgbm",)),
    (r"xg[\s-]?boost|xgb", ("xgboost",)),
    (r"cat[\s-]?boost", ("catboost",)),
    (r"(?:gradient[\s-]*)?boost(?:ing|ed)(?:[\s-]+(?:trees?|machines?|models?))?|gbms?|gbdts?", _BOOSTING),
    (r"random[\s-]+forests?|extra[\s-]?trees|forests?", ("forest",)),
    (r"(?:decision\s+)?trees?(?:[\s-]+based)?(?:\s+models?|\s+ensembles?)?", (*_BOOSTING, "forest")),
    (r"neural(?:[\s-]+net(?:work)?s?)?(?:\s+models?)?|mlps?|deep[\s-]+(?:learning|nets?|networks?)|neural|networks?|perceptrons?",
     ("neural",)),
    (r"(?:generali[sz]ed\s+)?linear(?:\s+(?:models?|regressions?|classifiers?))?|logistic(?:\s+regressions?)?|ridge|lasso"
     r"|elastic[\s-]?net|glms?", ("linear",)),
    (r"k?-?\s?nearest[\s-]+neighbou?rs?|knn|k-nn|neighbou?rs?", ("neighbours",)),
)  # fmt: skip
_ANY_FAMILY = "|".join(f"(?:{pattern})" for pattern, _ in _FAMILIES)
_FAMILY_LIST = rf"(?:{_ANY_FAMILY})(?:\s*(?:,\s*(?:and|or|nor)?|and|or|nor|&|/)\s*(?:no\s+)?(?:{_ANY_FAMILY}))*"
_BEFORE = r"(?:(?:use|using|used|try|trying|with|fit|train|any|a|an|the|kind\s+of)\s+)*"
_NEVER = re.compile(
    rf"\b(?:no|not|never|without|avoid(?:ing)?|don'?t|do\s+not|exclud(?:e|ing)|skip(?:ping)?|ban|except(?:\s+for)?|anything\s+but"
    rf"|ignor(?:e|ing)|drop(?:ping)?|leav(?:e|ing)\s+out)\s+{_BEFORE}(?P<list>{_FAMILY_LIST})\b",
    re.IGNORECASE,
)
_ONLY = re.compile(
    rf"\b(?:only|just|solely|exclusively|nothing\s+but|stick\s+to|limit\w*\s+to|restrict\w*\s+to)\s+{_BEFORE}(?P<list>{_FAMILY_LIST})\b"
    rf"|\b(?P<after>{_FAMILY_LIST})\s+(?:only|exclusively)\b",
    re.IGNORECASE,
)
_STARTS_WITH_FAMILY = re.compile(
    rf"\s*(?:(?:any|the|a|an|use|using|of)\s+)*(?:{_ANY_FAMILY}|ensembl\w+|blend\w+|stack\w+)\b", re.I
)

NO_ENSEMBLE = re.compile(
    r"\b(?:no|without|don'?t|do\s+not|never|avoid|skip)\s+(?:an?\s+|any\s+|use\s+|do\s+|the\s+|build\s+)*(?:ensembl|blend|stack)\w*"
    r"|\b(?:a\s+)?(?:single|one)\s+(?:\w+\s+)?model\b",
    re.IGNORECASE,
)
# "predict the quality as a number"; not "predict the price and treat the room type as a category".
_PREDICTED_AS = (
    r"\b(?:predict|forecast|estimat|guess)\w*(?:(?!\b(?:treat|tak|us|count|encod|consider|read)\w*)[^,.;]){1,80}?"
    r"\bas\s+(?:(?:an?|its|the|exact|plain|real|ordered|separate|different)\s+)*"
)
_VALUES = r"(?:numbers?|numeric(?:al)?|quantit(?:y|ies)|amounts?|continuous)"
_CLASSES = r"(?:class(?:es)?|categor(?:y|ies|ical)|labels?)"
_KINDS: tuple[tuple[Kind, str], ...] = (
    ("multiclass", r"multi[\s-]?class"),
    ("binary", r"binary"),
    ("regression", r"regression"),
    ("regression", rf"{_PREDICTED_AS}{_VALUES}|(?:numeric(?:al)?|continuous)\s+(?:target|outcome)"),
    ("multiclass", rf"{_PREDICTED_AS}{_CLASSES}|categorical\s+(?:target|outcome)|classif(?:y|ication|ier)"),
)
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "forty-five": 45, "sixty": 60,
    "ninety": 90, "half an": 0.5, "half a": 0.5, "a quarter of an": 0.25, "quarter of an": 0.25, "a couple of": 2,
    "a few": 3, "one and a half": 1.5,
}  # fmt: skip
_NUMBER = r"\d+(?:\.\d+)?|" + "|".join(sorted(map(re.escape, _NUMBERS), key=len, reverse=True))
_DURATION = re.compile(
    r"\b(?:in|within|for|take|takes|taking|up\s+to|at\s+most|max(?:imum)?|under|less\s+than|no\s+more\s+than|not\s+more\s+than|limit(?:\s+(?:of|is|to))?"
    r"|budget(?:\s+(?:of|is))?|spend|use|have|has|about|only|after|time[\s:=]+|is)\s*[:=]?\s*(?:the\s+next\s+|about\s+|only\s+|max\.?\s+)*"
    rf"(?P<n>{_NUMBER})\s*-?\s*(?P<unit>seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)\b"
    r"(?:\s*(?:and\s+)?(?P<n2>\d+)\s*(?P<unit2>seconds?|secs?|s|minutes?|mins?|m)\b)?",
    re.IGNORECASE,
)
_LOOSE_DURATION = re.compile(
    rf"\b(?P<n>{_NUMBER})[\s-]*(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?)\b(?P<n2>)(?P<unit2>)", re.IGNORECASE
)
_COMPARED = re.compile(  # "delayed by more than 15 minutes", not "take no more than 15 minutes"
    r"\b(?:(?<!no )(?<!not )(?:more|longer|greater|later|older|larger|bigger|shorter|earlier|fewer)\s+than|over|above"
    r"|below|exceed\w*|every|each|per)\s+$",
    re.IGNORECASE,
)
_EFFORT = re.compile(
    r"\b(?:train\w*|fit\w*|search\w*|finish\w*|done|ready|tak(?:e|es|ing)|spend\w*|budget\w*|limit\w*|at\s+most"
    r"|up\s+to|max\w*|(?:you|i)\s+(?:only\s+)?have|time\s*[:=])",
    re.IGNORECASE,
)
_OUTCOME = re.compile(r"\b(?:will|would|whether|if|likely|chances?|probability|risk|who|which)\b", re.IGNORECASE)

NEGATION = r"\b(?:not|never|dont|\w+n['’]t)\s+"  # "want" has none
_REFUSED = rf"(?:{NEGATION}|\b(?:instead\s+of|rather\s+than)\s+)(?:use\s+|want\s+|by\s+|the\s+)*"  # before a metric


def metrics(text: str) -> list[str]:
    """The metrics that a text names; those behind "minimise", "metric" and the like first. Not those it refuses."""
    found: dict[str, int] = {}
    free = text
    for name, pattern in _METRICS:
        free = re.sub(rf"{_REFUSED}(?:{pattern})(?!\w)", lambda m: "·" * len(m[0]), free, flags=re.IGNORECASE)
        wanted = re.search(rf"\b{_WANTS}(?:{pattern})(?!\w)", free, re.IGNORECASE)
        plain = re.search(rf"(?<!\w)(?:{pattern})(?!\w)", free, re.IGNORECASE)
        if plain:
            found[name] = wanted.end() if wanted else len(text) + plain.start()
            free = re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda m: "·" * len(m[0]), free, flags=re.IGNORECASE)
    return sorted(found, key=lambda name: found[name])


def is_term(word: str) -> bool:
    """Is the word a metric or a kind of model?"""
    return bool(metrics(word) or re.fullmatch(_ANY_FAMILY, word, re.IGNORECASE))


def kind(text: str) -> Kind | None:
    """ "classification" alone is multiclass, which two labels turn into binary."""
    rest = re.sub(r"\b(?:linear|logistic|ridge|lasso)\s+regressions?\b", "", text, flags=re.IGNORECASE)
    return next((found for found, words in _KINDS if re.search(rf"\b(?:{words})\b", rest, re.IGNORECASE)), None)


def seconds(text: str) -> float | None:
    """A time limit in the text; no duration that belongs to what is predicted, as in "readmitted within 48 hours"."""
    found = [m for pattern in (_DURATION, _LOOSE_DURATION) for m in pattern.finditer(text)]
    match = next((m for m in found if not _of_the_question(text, m)), None)
    if match is None:
        return None
    total = _number(match["n"]) * _unit(match["unit"])
    if match["n2"]:
        total += float(match["n2"]) * _unit(match["unit2"])
    return total


def _of_the_question(text: str, duration: re.Match[str]) -> bool:
    clause = re.split(r"[,;:!?]|\.(?!\d)", text[: duration.end()])[-1]
    if _COMPARED.search(text[: duration.start("n")]):
        return True
    if _EFFORT.search(clause):
        return False
    unit = duration["unit"].lower()
    distant = unit.startswith("h") or re.search(r"\bwithin\b", duration[0], re.IGNORECASE)
    ahead = re.search(r"\b(?:next|coming|following|last|past|previous)\s+$", text[: duration.start("n")], re.IGNORECASE)
    return bool(ahead or (distant and _OUTCOME.search(clause)))


def _number(text: str) -> float:
    return float(_NUMBERS.get(text.lower(), 0) or text)


def _unit(text: str) -> float:
    return {"s": 1.0, "m": 60.0, "h": 3600.0}[text[0].lower()]


def count(text: str, noun: str) -> int | None:
    """How many of a thing: "50 trials", "two threads"."""
    match = re.search(
        rf"\b(?P<n>\d+|{'|'.join(k for k in _NUMBERS if ' ' not in k and k not in 'an')})\s+(?:{noun})\b", text, re.I
    )
    return int(_number(match["n"])) if match else None


def families(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(only, never): recipe families that a text allows alone, and those that it forbids."""
    never: list[str] = []
    rest = text
    for match in _NEVER.finditer(text):
        never += families_in(match["list"])
        rest = rest.replace(match[0], "·" * len(match[0]))
    only = [f for match in _ONLY.finditer(rest) for f in families_in(match["list"] or match["after"])]
    return tuple(dict.fromkeys(only)), tuple(dict.fromkeys(never))


def families_in(text: str) -> list[str]:
    """Families that a text mentions, in its order."""
    found: list[tuple[int, tuple[str, ...]]] = []
    for pattern, names in _FAMILIES:
        for match in re.finditer(rf"\b(?:{pattern})(?!\w)", text, re.IGNORECASE):
            found.append((match.start(), names))
        text = re.sub(rf"\b(?:{pattern})(?!\w)", lambda m: "·" * len(m[0]), text, flags=re.IGNORECASE)
    return [name for _, names in sorted(found) for name in names]


def starts_with_family(text: str) -> bool:
    """Does the text go on with a kind of model or with ensembles, rather than with a column?"""
    return _STARTS_WITH_FAMILY.match(text) is not None
