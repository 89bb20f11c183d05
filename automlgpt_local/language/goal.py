"""Which column a sentence wants predicted."""

from __future__ import annotations

import re
from collections.abc import Collection

from automlgpt_local.data.names import tokens
from automlgpt_local.errors import UsageError
from automlgpt_local.language import phrases
from automlgpt_local.language.mentions import Mentions

_CLAUSE_END = re.compile(
    r"[.;!?](?:\s|$)|,|\b(?:using|within|minimi[sz]\w*|maximi[sz]\w*|optimi[sz]\w*|ignor\w+)\b", re.I
)
_TARGET = re.compile(
    r"\b(?:predict(?:s|ing)?(?:\s+is)?\b|(?:predictions?|forecasts?|estimates?)\s+(?:of|for)\b|forecast(?:ing)?\b|estimat(?:e|ing)\b"
    r"|regress(?:ing)?\b|classify\b|guess\b|target(?: column| variable)?"
    r"(?:\s+is\b|\s+should be|\s*[:=]|(?=\s+[\"'`]))"
    r"|(?<!positive )(?:label|outcome|response|dependent)(?:\s+(?:column|variable))?\s+is)",
    re.IGNORECASE,
)
_NO_TARGET = re.compile(rf"(?:{phrases.NEGATION}|\b(?:instead\s+of|rather\s+than|used\s+to)\s+)$", re.IGNORECASE)
_BUT = re.compile(r"\s*,?\s*(?:but|rather)\s+(?:predict\s+)?", re.IGNORECASE)
_BUT_ACTUALLY = re.compile(
    r"[^.;!?]*?\bbut\s+(?P<rest>(?=[^.;!?]*\b(?:actually|in\s+fact|changed\s+(?:our|my|his|her|their)\s+minds?)\b)"
    r"(?=[^.;!?]*\b(?:predict\w*|wants?|target|it\s+is)\b)(?![^.;!?]*\b(?:ignor|drop|not|never|without|leav)\w*)[^.;!?]*)",
    re.IGNORECASE,
)
_IS_TARGET = re.compile(
    r"\s+(?:should|must|is|are|has|needs?)\s+(?:to\s+)?be\s+predicted\b|\s+predicted\s*(?=$|[.,;!?])|\s*(?:[-=]>|=)\s*target\b"
    r"|\s+is\s+(?:what|the\s+(?:thing|column|one|variable))\b(?:(?!\bnot\b|n['’]t)[^.;]){0,40}?\b(?:predict\w*|want|after|need|interest\w*)\b"
    r"|\s+(?:is|as)\s+(?:the\s+|our\s+)?(?:target|goal|outcome|response|dependent)(?:\s+(?:column|variable))?\b",
    re.IGNORECASE,
)
_CALLED_TARGET = re.compile(r"\b(?:target|label|goal|outcome|response)(?:\s+(?:column|variable))?\b", re.IGNORECASE)
_IT_IS = re.compile(r"\s+it\s+is\s*(?=$|[.,;!?])", re.IGNORECASE)  # "price it is."
_LEFT_OUT = re.compile(r"\s+(?:to\s+be\s+)?(?:left|ignored|dropped|excluded|removed|omitted|out|gone)\b", re.IGNORECASE)
_MODEL_OF = re.compile(  # a column here is the target where nothing else is
    r"\b(?:model(?:l?ing)?(?:\s+(?:for|of|on))?|learn(?:ing)?|(?:want|like|need)\s+(?:to\s+)?know(?:\s+about)?|(?:want|need)\s+(?:predicted\s+|instead\s+)?is|want|interested\s+in|(?:need|want|build)\s+an?"
    r"|(?:classification|regression|classifier|predictor|forecast)\s+(?:of|for|on)|(?:['’]re|['’]m|am|are)\s+after(?:\s+is)?"
    r"|what(?:['’]s|\s+is|\s+will)\s+the|(?:want|need|after|looking\s+for|predict)(?:\s+\w+)?\s+is)\b"
    r"(?!\s+(?:each|every|all|any|per)\b)",
    re.IGNORECASE,
)
_NO_TARGET_YET = re.compile(rf"(?:{phrases.NEGATION}|\w['’]re\s+not\s+)$", re.IGNORECASE)
_SECOND_TARGET_ENDS = re.compile(r"\s*(?:$|[.,;!?]|(?:from|using|with|by|in|for|within|and)\b)", re.IGNORECASE)
_ROLES = {"weight", "group", "score", "split", "sort", "order"}  # "and weight by age" names no second target
_ASKED = re.compile(
    r"\b(?:will|going\s+to|likely\s+to|(?:risk|chances?|probability)\s+of)\s+(?:be(?:ing)?\s+|get(?:ting)?\s+|have\s+)?",
    re.I,
)
_COMPARED = re.compile(
    r"\s*(?:is|are|was|were|will\s+be)?\s*(?:above|over|below|under|greater|more|less|higher|lower|at\s+(?:least|most)|[<>])",
    re.IGNORECASE,
)
_WHETHER = re.compile(r"\s*(?:whether|if|how|which|who)\b", re.IGNORECASE)
_PROSE = re.compile(r"\s*(?:whether|if|how|which|who|when|what|that|will|on|with|for|from|in)\b", re.IGNORECASE)
_NOT_BEFORE = re.compile(
    r"\b(?:next|last|previous|coming|this|every|each|per|by|from|using|with|on|ignor\w+|than)\s+(?:the\s+)?$",
    re.IGNORECASE,
)


def target(said: Mentions, warnings: list[str]) -> str | None:
    """The column that is to be predicted. Raises UsageError where words name one that does not exist, or two."""
    formula = re.match(r"\s*(?P<name>[^~,.;]+?)\s*~", said.text)
    if formula and said.find(formula["name"]):
        return said.find(formula["name"])
    unclear: UsageError | None = None  # told where nothing else names the target
    for match in _TARGET.finditer(said.text):
        found, _, unknown = said.list_at(match.end(), most=1)
        if _NO_TARGET.search(said.before(match.start())):
            but = _BUT.match(said.text, said.used[-1][1]) if found else None
            found = said.list_at(but.end(), most=1)[0] if but else []
            if found:
                return found[0]
            continue
        if found:
            _refuse_a_second(said, found[0])
            return _corrected(said, found[0], warnings)
        clause_end = _CLAUSE_END.search(said.text, match.end())
        clause = said.text[match.end() : clause_end.start() if clause_end else len(said.text)]
        mentioned = _in_brackets(said, clause) or _mentioned(said, clause, match.end())
        if mentioned:
            if said.used and _COMPARED.match(said.text, said.used[-1][1]):
                warnings.append(f"{mentioned!r} itself is predicted, not whether it is above or below something.")
            return mentioned
        if not unknown or unknown.startswith("(") or unknown.split()[0].lower() in phrases.PRONOUNS:
            continue
        if _PROSE.match(clause):
            words = re.findall(r"[\w-]{3,}", clause) if _WHETHER.match(clause) else []
            named = {c for w in words if w.lower() not in phrases.COMMON_WORDS for c in said.having(w)}
            if len(named) == 1:
                warnings.append(f"{clause.strip()[:60]!r} was read as the column {min(named)!r}.")
                return named.pop()
            warnings.append(f"The request does not name a column as the target ({clause.strip()[:60]!r}).")
            continue
        near = [c for c in said.columns if _stem(unknown) in {_stem(t) for t in tokens(c)}]
        if len(near) == 1:
            warnings.append(f"The request's {unknown!r} was read as the column {near[0]!r}.")
            return near[0]
        unclear = unclear or said.no_column(unknown)
    called = _called_target(said)
    if called is None and unclear is not None:
        raise unclear
    return called


def _called_target(said: Mentions) -> str | None:
    """The column of which it is said that it is the target, or that a model is wanted of it."""
    for match in _IS_TARGET.finditer(said.text):
        if found := said.subject(match.start()):
            return found[-1]
    for match in _IT_IS.finditer(said.text):
        known = len(said.used)
        if (found := said.subject(match.start())) and said.used[known][0] == said.sentence_start(match.start()):
            return found[-1]
    for match in (*_CALLED_TARGET.finditer(said.text), *_MODEL_OF.finditer(said.text)):
        known = len(said.used)
        found, end = said.list_if_any(match.end())
        if found and not _LEFT_OUT.match(said.text, end):
            if not _NO_TARGET_YET.search(said.before(match.start())):
                del said.used[known + 1 :]
                return found[0]
        else:
            del said.used[known:]
    return None


def _refuse_a_second(said: Mentions, first: str) -> None:
    """ "predict revenue and rating": a run has one target."""
    joint = re.compile(r"\s*(?:and|&|as\s+well\s+as)\s+", re.IGNORECASE).match(said.text, said.used[-1][1])
    name, end = said.column_at(joint.end()) if joint else (None, 0)
    role = name is not None and re.match(r"\s+by\b", said.text[end:]) and name.lower() in _ROLES
    if name not in (None, first) and not role and _SECOND_TARGET_ENDS.match(said.text, end):
        raise UsageError(f"A run predicts one column; the request names {first!r} and {name!r}.", "Say which one.")


def _corrected(said: Mentions, first: str, warnings: list[str]) -> str:
    """ "I was told to predict this, but actually it is that": the only other column behind the "but"."""
    but = _BUT_ACTUALLY.match(said.text, said.used[-1][1])
    if but is None:
        return first
    others = []
    for word in re.finditer(r"[\w.-]{3,}", but["rest"]):
        name, end = said.column_at(but.start("rest") + word.start())
        if name not in (None, first) and word[0].lower() not in phrases.COMMON_WORDS:
            others.append((name, but.start("rest") + word.start(), end))
    if len({name for name, _, _ in others}) != 1:
        return first
    name, start, end = others[0]
    said.used.append((start, end))
    warnings.append(f"{name!r} is predicted, which the request names behind 'but', not {first!r}.")
    return str(name)


def only_mention(said: Mentions, taken: Collection[str | None], warnings: list[str]) -> str | None:
    """ "Who will churn?": the only column that a text mentions, or the one behind "will"; None where it is unclear."""
    words = [w[0].strip(".") for w in re.finditer(r"[\w.-]{4,}", said.blanked())]
    named = {
        c for w in words
        if (c := said.find(w) or said.by_token(w)) and c not in taken and not phrases.is_term(w)
    }  # fmt: skip
    named |= said.verbatim() - set(taken)
    asked = {c for m in _ASKED.finditer(said.text) if (c := said.column_at(m.end())[0]) and c not in taken}
    if not named and not asked:
        stems = {_stem(said.text[m.end() :]) for m in _ASKED.finditer(said.text)}
        asked = {c for c in said.columns if c not in taken and stems & {_stem(t) for t in tokens(c)}}
    if len(named) == 1:
        name, why = named.pop(), "the only column that the request mentions"
    elif len(asked) == 1:
        name, why = asked.pop(), "of which the request asks whether it will be"
    else:
        return None
    warnings.append(f"{name!r}, {why}, was taken as the target.")
    return name


def _in_brackets(said: Mentions, clause: str) -> str | None:
    """ "the final grade (G3)"."""
    for inside in re.findall(r"\(([^()]+)\)", clause):
        name = said.find(inside)
        if name is not None:
            return name
    return None


def _mentioned(said: Mentions, clause: str, offset: int) -> str | None:
    """The first column that a clause mentions by its full name of at least three letters."""
    for word in re.finditer(r"[\w.-]{3,}", clause):
        name, end = said.column_at(offset + word.start())
        if word[0].lower() in phrases.COMMON_WORDS and end <= offset + word.end():
            continue
        if name is not None and _NOT_BEFORE.search(clause[: word.start()]) is None:
            said.used.append((offset + word.start(), end))
            return name
    return None


def _stem(phrase: str) -> str:
    """The first word without its ending: "survival" and "survived" are both "survi"."""
    words = re.findall(r"[A-Za-z]{3,}", phrase)
    return str(words[0][: max(4, len(words[0]) - 3)].lower()) if words else phrase
