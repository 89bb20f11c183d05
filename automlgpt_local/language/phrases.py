"""Words for metrics, kinds, counts and model families, as people write them."""

from __future__ import annotations

import re

from automlgpt_local.language.durations import WORD_NUMBER, number
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
             r"|rms\s+errors?|least\s+squares|l2[\s-]+(?:loss|error)"),
    ("mae", r"mae|(?:mean|average)[\s-]+abs(?:olute)?[\s-]+(?:error|deviation)|abs(?:olute)?\s+errors?"
            r"|l1[\s-]+(?:loss|error)"),
    ("r2", r"r2|r²|r\^2|r[\s-]squared?|explained\s+variance|coefficient\s+of\s+determination"),
    ("tweedie", r"tweedie(?:\s+deviance)?"),
    ("average_precision", r"average[\s_-]+precision|pr[\s_-]*auc|auprc|auc[\s_-]*pr|precision[\s-]recall"
                          r"(?:\s+(?:curve|auc))?"),
    ("roc_auc", r"roc[\s_-]*auc|auc[\s_-]*roc|auroc|auc|roc|area\s+under\s+the\s+(?:roc\s+)?curve"),
    ("log_loss", r"m?log[\s_-]*loss|cross[\s-]*entropy|log[\s-]*likelihood|deviance|calibrated\s+probabilit(?:y|ies)"),
    ("balanced_accuracy", r"bal(?:anced|\.)?[\s_-]+acc(?:uracy)?|mean\s+recall"),
    ("f1_macro", r"macro[\s_-]*(?:averaged[\s_-]*)?f[\s_-]*1(?:[\s_-]*score)?"
                 r"|f[\s_-]*1[\s_-]*(?:score[\s_-]*)?\(?macro\)?"),
    ("f1", r"f[\s_-]?1(?:[\s_-]*score)?|f[\s-]score|f[\s-]measure"),
    ("mcc", r"mcc|matthews(?:\s+corr\w*(?:\s+coefficient)?)?"),
    ("qwk", r"qwk|(?:quadratic(?:ally)?[\s-]+(?:weighted[\s-]+)?)?(?:cohen'?s\s+)?kappa"),
    ("accuracy", r"accuracy|error\s+rate|correct\s+(?:predictions|answers)|hit\s+rate"),
    ("precision", r"precision(?!\s+of\s+\d)"),
    ("recall", r"(?<!\bi )recall|sensitivity|true\s+positive\s+rate"),
)  # fmt: skip
_WANTS = (
    r"(?:minimi[sz]\w*|maximi[sz]\w*|optimi[sz]\w*|metric|use|want|need|prefer|wants|care\s+about|counts\s+is|take|go\s+for|switch\s+to|scored?|scoring|evaluat\w+|measured?|judged?|best|highest|lowest"
    r"|low|high|good|by|for|on|with|using|in\s+terms\s+of)[\s:=]+(?:by\s+|with\s+|on\s+|is\s+|of\s+|using\s+|for\s+|the\s+|possible\s+|plain\s+)*"
)
# "accuracy, no wait, balanced accuracy"
_CORRECTED = r"\b(?:no\s*,?\s+wait|sorry|i\s+meant?|correction|scratch\s+that|or\s+rather|actually)\b[^.;!?]{0,25}?"

_BOOSTING = ("lightgbm", "xgboost", "catboost")
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"light[\s-]?gbm|lgbm|lgb", ("lightgbm",)),
    (r"xg[\s-]?boost|xgb", ("xgboost",)),
    (r"cat[\s-]?boost", ("catboost",)),
    (r"(?:gradient[\s-]*)?boost(?:ing|ed)(?:[\s-]+(?:trees?|machines?|models?))?|gbms?|gbdts?", _BOOSTING),
    (r"random[\s-]+forests?|extra[\s-]?trees|forests?", ("forest",)),
    (r"(?:decision\s+)?trees?(?:[\s-]+based)?(?:\s+models?|\s+ensembles?)?", (*_BOOSTING, "forest")),
    (r"neural(?:[\s-]+net(?:work)?s?)?(?:\s+models?)?|mlps?|deep[\s-]+(?:learning|nets?|networks?)|perceptrons?",
     ("neural",)),
    (r"(?:generali[sz]ed\s+)?linear(?:\s+(?:models?|regressions?|classifiers?))?|logistic(?:\s+regressions?)?|ridge|lasso"
     r"|elastic[\s-]?net|glms?", ("linear",)),
    (r"k?-?\s?nearest[\s-]+neighbou?rs?|knn|k-nn|neighbou?rs?", ("neighbours",)),
)  # fmt: skip
_ANY_FAMILY = "|".join(f"(?:{pattern})" for pattern, _ in _FAMILIES)
_FAMILY_LIST = (
    rf"(?:{_ANY_FAMILY})(?:\s*(?:,\s*(?:and|or|nor)?|and|or|nor|&|/|\+)\s*(?:(?:no|an?|the)\s+)?(?:{_ANY_FAMILY}))*"
)
_BEFORE = (
    r"(?:(?:use|using|used|try|trying|with|fit(?:ting)?|train(?:ing)?|tuning|any|a|an|the"
    r"|kind\s+of|plain|simple|single|good\s+old)\s+)*"
)
_NOT_THINGS = r"(?!\s+(?:that|which)\b)"  # "only trees that are alive"
_THINGS = re.compile(r"\b(?:for|of|among)\s+\w+\s+$", re.IGNORECASE)  # "for plots" before "without trees"
_NEVER = re.compile(
    rf"\b(?:no(?:\s+more)?|(?<!is )(?<!are )(?<!was )not|never|without|avoid(?:ing)?|don'?t(?:\s+bother)?"
    rf"|do\s+not|exclud(?:e|ing)|skip(?:ping)?|bans?"
    r"|forbids?|distrusts?|apart\s+from|other\s+than"
    rf"|except(?:\s+for)?|(?:anything|everything|all\s+\w+|any\s+\w+)\s+but|stop|forget(?:\s+about)?"
    rf"|ignor(?:e|ing)|drop(?:ping)?|leav(?:e|ing)\s+out|neither|none\s+of|nothing\s+from|get\s+rid\s+of"
    r"|(?:don['’]?t|do\s+not)\s+waste\s+(?:any\s+)?time\s+(?:on|with)|(?:keep|leave)(?=[^.;]*\bout\b))"
    rf"\s+{_BEFORE}(?P<list>{_FAMILY_LIST})\b{_NOT_THINGS}"
    rf"|\b(?P<named>{_FAMILY_LIST})\b[^.;!?·]{{0,40}}?(?:\b(?:leave|keep|take)\s+(?:(?:both|all)\s+of\s+)?(?:them|it|these)\s+(?:out|away)"
    r"|\b(?:exclude|avoid|skip|drop|ignore|(?:do\s+not|don['’]?t|never)\s+use)\s+(?:them|it|these|both)\b)"
    rf"|\b(?P<after>{_FAMILY_LIST})\s*(?:are|is|:)\s*(?:not\s+(?:allowed|wanted|fine|ok(?:ay)?|permitted|to\s+be\s+used)"
    r"|forbidden|banned|out(?:\s+of\s+the\s+question)?(?=\s*(?:$|[.,;!?])))(?!\w)",
    re.IGNORECASE,
)
_ONLY = re.compile(
    rf"\b(?:only|just|solely|exclusively|nothing\s+but|stick\s+to|limit\w*\s+to|restrict\w*\s+to|allowed\s*:)\s+{_BEFORE}(?P<list>{_FAMILY_LIST})\b{_NOT_THINGS}"
    rf"|\b(?P<after>{_FAMILY_LIST})(?:(?:\s+(?:family|families|methods?|algorithms?))?\s+(?:only|exclusively|alone)|\s*,?\s*(?:and\s+)?(?:all\s+|any\s+)?others?\b[^.;]{{0,20}}\b(?:forbidden|banned|not\s+allowed)|\s*,?\s*(?:and\s+|or\s+)?nothing(?:\s+(?:else|fancier|more))?)\b",
    re.IGNORECASE,
)
_STARTS_WITH_FAMILY = re.compile(
    rf"\s*(?:(?:any|the|a|an|use|using|of)\s+)*(?:{_ANY_FAMILY}|ensembl\w+|blend\w+|stack\w+)\b", re.I
)

_OF_THE_DATA = re.compile(r"\b(?:after|from|of|have|has|\w+s\s+with)\s+$", re.IGNORECASE)  # "churn after 3 attempts"
NO_ENSEMBLE = re.compile(
    r"\b(?:no|not|without|don'?t|do\s+not|never|avoid|skip)\s+(?:an?\s+|any\s+|use\s+|want\s+|do\s+|the\s+|build\s+)*(?:ensembl|blend|stack)\w*"
    r"|\b(?:don'?t|do\s+not|never|without)\s+combin\w+"
    r"(?=\s+(?:(?:several|multiple|many|any|the|different)\s+)*"
    r"(?:models?|predictions?|algorithms?|them)\b"
    r"|\s*(?:$|[.,;!?]))|(?<!than )(?<!least )\b(?:a\s+)?(?:single|one)\s+(?:\w+\s+)?model\b|\ba\s+single\s+one\b"
    r"|\b(?:ensembl|blend|stack)\w*\s+(?:(?:are|is)\s+)?(?:not\s+(?:wanted|allowed|needed)|unwanted|forbidden|off)\b",
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
    (
        "binary",
        r"(?<!\w is )(?<!\w was )binary|(?:it|this|that|target|outcome|task|problem|label)\s+is\s+(?:a\s+)?binary",
    ),
    ("regression", r"regression"),
    ("regression", rf"{_PREDICTED_AS}{_VALUES}|(?:numeric(?:al)?|continuous)\s+(?:target|outcome)"),
    ("multiclass", rf"{_PREDICTED_AS}{_CLASSES}|categorical\s+(?:target|outcome)|classif(?:y|ication|ier)"),
)
NOT = r"(?:not|never|n['’]t|nt)"
PRONOUNS = frozenset({"it", "this", "that", "them"})
NEGATION = r"\b(?:not|never|dont|\w+n['’]t)\s+"  # "want" has none
_REFUSED = (  # before a metric
    rf"(?:{NEGATION}|\b(?:instead\s+of|rather\s+than|tried|(?:first|originally|initially)\s+\w+\s+(?:for|of|about)|thought\s+(?:of|about)|makes?|no(?!\s*,?\s+wait)|ignore|forget|skip|drop|without|from)\s+)"
    r"(?:use\s+|want\s+|care\s+about\s+|by\s+|for\s+|on\s+|the\s+|(?:optimi|maximi|minimi)[sz]e\s+)*"
)
_REFUSED_AFTER = (
    r"(?:\s+(?:(?:is|would\s+be)\s+(?:\w+\s+)?)?(?:misleading|useless|meaningless|irrelevant|wrong|bad|not|no)\b"
    r"|\s*,?\s+which\s+(?:was|is)\s+(?:\w+\s+){0,2}(?:mistake|misleading|useless|wrong|bad)\b)"
)
# Scores that other tools have. The first word alone could be a column or something else.
_FOREIGN = re.compile(
    r"\b(?:brier(?:\s+score)?|s-?mape|w-?mape|wape|mase|pinball(?:\s+loss)?|quantile\s+loss|huber(?:\s+loss)?|hinge\s+loss"
    r"|specificity|ndcg|hamming\s+loss|(?:poisson|gamma)\s+(?:deviance|loss)|(?:micro|weighted)[\s-]*(?:averaged[\s-]*)?f[\s_-]?1"
    r"(?:[\s-]*score)?|f[\s_-]?(?:2|0\.5|beta)(?:[\s-]*score)?|top-?\s?\d+\s+accuracy)(?!\w)",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\bmetric\s*(?:should\s+be\b|is\b|[:=])\s*(?:the\s+)?(?P<name>[\w²-]+)", re.IGNORECASE)


def metrics(text: str) -> list[str]:
    """The metrics that a text names; those behind "minimise", "metric" and the like first. Not those it refuses."""
    found: dict[str, int] = {}
    free = _FOREIGN.sub(lambda m: "·" * len(m[0]), text)
    for name, pattern in _METRICS:
        refused = rf"{_REFUSED}(?:{pattern})(?!\w)|\b(?:{pattern}){_REFUSED_AFTER}"
        free = re.sub(refused, lambda m: "·" * len(m[0]), free, flags=re.IGNORECASE)
        wanted = re.search(rf"\b{_WANTS}(?:{pattern})(?!\w)", free, re.IGNORECASE)
        corrected = re.search(rf"{_CORRECTED}(?:{pattern})(?!\w)", free, re.IGNORECASE)
        plain = re.search(rf"(?<!\w)(?:{pattern})(?!\w)", free, re.IGNORECASE)
        if plain:
            found[name] = wanted.end() if wanted else len(text) + plain.start()
            found[name] -= 2 * len(text) if corrected else 0
            free = re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda m: "·" * len(m[0]), free, flags=re.IGNORECASE)
    return sorted(found, key=lambda name: found[name])


def foreign_metric(text: str) -> str | None:
    """A score that a text asks for and that there is not."""
    foreign = _FOREIGN.search(text)
    if foreign:
        return foreign[0]
    named = _NAMED.search(text)
    return named["name"] if named and not metrics(text) else None


def starts_with_metric(text: str) -> bool:
    """Does the text go on with a metric, rather than with a column?"""
    words = re.match(r"\s*(?:the\s+)?([^,.;!?]{1,30})", text)
    return words is not None and any(
        re.match(rf"(?:{pattern})(?!\w)", words[1], re.IGNORECASE) for _, pattern in _METRICS
    )


def is_term(word: str) -> bool:
    """Is the word a metric or a kind of model?"""
    return bool(metrics(word) or re.fullmatch(_ANY_FAMILY, word, re.IGNORECASE))


def kind(text: str) -> Kind | None:
    """ "classification" alone is multiclass, which two labels turn into binary."""
    rest = re.sub(r"\b(?:linear|logistic|ridge|lasso)\s+regressions?\b", "", text, flags=re.IGNORECASE)
    return next((found for found, words in _KINDS if re.search(rf"\b(?:{words})\b", rest, re.IGNORECASE)), None)


def count(text: str, noun: str) -> int | None:
    """How many of a thing: "50 trials", "two threads"; not of those that the data come from."""
    match = re.search(rf"(?<![\w.,:/])(?P<n>\d{{1,9}}|{WORD_NUMBER})\s+(?:{noun})\b", text, re.IGNORECASE | re.ASCII)
    return None if match is None or _OF_THE_DATA.search(text[: match.start()]) else int(number(match["n"]))


def families(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(only, never): recipe families that a text allows alone, and those that it forbids."""
    never: list[str] = []
    rest = text
    for match in _NEVER.finditer(text):
        if match[0].lower().startswith("without") and _THINGS.search(text[: match.start()]):
            continue
        never += families_in(match["list"] or match["named"] or match["after"])
        rest = rest.replace(match[0], "·" * len(match[0]))
    only = [
        f for match in _ONLY.finditer(rest) for f in families_in(match["list"] or match["after"])
        if not re.search(rf"(?:{NEGATION}(?:use\s+)?|\bmore\s+than\s+)$", rest[: match.start()], re.IGNORECASE)
    ]  # fmt: skip
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
