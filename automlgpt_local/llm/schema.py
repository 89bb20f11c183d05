"""JSON schemas: a short GBNF grammar for the writer, a check for the reader, an example for the self-test.

Understood: object (properties, required, additionalProperties), array, string, integer, number, boolean, null, enum,
const, anyOf, oneOf, allOf of one, $ref. What a grammar cannot say (patterns, bounds of fractions) `problems` checks.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from automlgpt_local.errors import BackendError

Schema = dict[str, Any]

_MAX_REPEAT = 500  # llama.cpp refuses grammars with long bounded repetitions
_ANY_VALUE = """\
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws ( string ":" ws value ( "," ws string ":" ws value )* )? "}"
array ::= "[" ws ( value ( "," ws value )* )? "]"
"""
_BASE = """\
ws ::= " "?
char ::= plain | "\\\\" ( ["\\\\/bfnrt] | "u" [0-9a-fA-F]{4} )
plain ::= [\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e\\u00a0-\\ud7ff\\ue000-\\ufffc\\U00010000-\\U0010ffff]
string ::= "\\"" char* "\\""
integer ::= "-"? ( "0" | [1-9] [0-9]{0,15} )
number ::= integer ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,3} )?
"""


class SchemaError(BackendError):
    """The schema asks for something that this module does not understand, or that no value can be."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this JSON schema cannot be followed: {why}", "Make the schema simpler.")


def compile_schema(schema: Any) -> tuple[str, str]:
    """(GBNF, the JSON text of an example that it must accept). Raises SchemaError, whatever `schema` is."""
    try:
        return to_gbnf(schema), json.dumps(example(schema))
    except RecursionError as error:
        raise SchemaError("no finite value conforms") from error
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise SchemaError(f"{type(error).__name__}: {error}") from error


def to_gbnf(schema: Schema) -> str:
    """Raises SchemaError."""
    grammar = _Grammar(schema)
    root = grammar.rule(schema)
    lines = [f"root ::= {root}", *(f"{name} ::= {body}" for name, body in grammar.rules.items())]
    return "\n".join(lines) + "\n" + _BASE + (_ANY_VALUE if grammar.needs_any else "")


class _Grammar:
    def __init__(self, root: Schema) -> None:
        self.root = root
        self.rules: dict[str, str] = {}
        self.needs_any = False
        self._references: dict[str, str] = {}

    def _add(self, body: str) -> str:
        name = f"r{len(self.rules)}"
        self.rules[name] = body
        return name

    def rule(self, schema: Any) -> str:
        """An expression for one value."""
        if schema is True or schema == {}:
            self.needs_any = True
            return "value"
        if not isinstance(schema, dict):
            raise SchemaError(f"not a schema: {schema!r}")
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if "const" in schema:
            return literal(json.dumps(schema["const"]))
        if "enum" in schema:
            if not schema["enum"]:
                raise SchemaError("an enum without values")
            return "( " + " | ".join(literal(json.dumps(value)) for value in schema["enum"]) + " )"
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return "( " + " | ".join(self.rule(part) for part in schema[key]) + " )"
        if len(schema.get("allOf", [])) == 1:
            return self.rule(schema["allOf"][0])
        kind = schema.get("type")
        if isinstance(kind, list):
            return "( " + " | ".join(self.rule({**schema, "type": one}) for one in kind) + " )"
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema)
        if kind == "array":
            return self._array(schema)
        if kind == "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength")
            return "string" if not low and high is None else '"\\"" char' + _repeat(low, high) + ' "\\""'
        if kind == "integer":
            return integer_range(*integer_bounds(schema))
        if kind == "number":
            return _number(schema)
        if kind == "boolean":
            return '( "true" | "false" )'
        if kind == "null":
            return '"null"'
        if kind is not None:
            raise SchemaError(f"no such type: {kind!r}")
        self.needs_any = True
        return "value"

    def _reference(self, target: str) -> str:
        if target not in self._references:
            name = f"d{len(self._references)}"
            self._references[target] = name
            self.rules[name] = ""
            self.rules[name] = self.rule(find_reference(self.root, target))
        return self._references[target]

    def _object(self, schema: Schema) -> str:
        properties: dict[str, Any] = schema.get("properties", {})
        if not properties:
            inner = schema.get("additionalProperties", True)
            if inner is False:
                return '"{}"'
            pair = f'string ":" ws {self.rule(inner)}'
            return self._add(f'"{{" ( {pair} ( "," ws {pair} )* )? "}}"')
        required = [name for name in properties if name in schema.get("required", [])]
        optional = [name for name in properties if name not in required]
        pairs = {
            name: self._add(f'{literal(json.dumps(name))} ":" ws {self.rule(properties[name])}') for name in properties
        }
        if required:
            body = ' "," ws '.join(pairs[name] for name in required)
            body += "".join(f' ( "," ws {pairs[name]} )?' for name in optional)
            return self._add(f'"{{" {body} "}}"')
        starts = []
        for at, name in enumerate(optional):
            starts.append(pairs[name] + "".join(f' ( "," ws {pairs[later]} )?' for later in optional[at + 1 :]))
        return self._add('"{" ( ' + " | ".join(starts) + ' )? "}"')

    def _array(self, schema: Schema) -> str:
        item = self._add(self.rule(schema.get("items", True)))
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        if high == 0:
            return '"[]"'
        rest = f'( "," ws {item} )' + _repeat(max(0, low - 1), None if high is None else high - 1)
        filled = f"{item} {rest}"
        return self._add(f'"[" {filled} "]"' if low > 0 else f'"[" ( {filled} )? "]"')


def find_reference(root: Schema, target: str) -> Schema:
    node: Any = root
    if not target.startswith("#"):
        raise SchemaError(f"a reference outside the schema: {target}")
    for part in target[1:].strip("/").split("/"):
        if part:
            if not isinstance(node, dict) or part not in node:
                raise SchemaError(f"no such definition: {target}")
            node = node[part]
    if not isinstance(node, dict):
        raise SchemaError(f"no such definition: {target}")
    return node


def literal(text: str) -> str:
    """`text` as a quoted GBNF literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _repeat(low: int, high: int | None) -> str:
    if high is None or high > _MAX_REPEAT:
        return f"{{{min(low, _MAX_REPEAT)},}}" if low else "*"
    return f"{{{low},{high}}}"


# --- numbers
def integer_bounds(schema: Schema) -> tuple[int | None, int | None]:
    """(lowest, highest) integer that the schema allows."""
    low, high = schema.get("minimum"), schema.get("maximum")
    lows = [] if low is None else [math.ceil(low)]
    highs = [] if high is None else [math.floor(high)]
    if schema.get("exclusiveMinimum") is not None:
        lows.append(math.floor(schema["exclusiveMinimum"]) + 1)
    if schema.get("exclusiveMaximum") is not None:
        highs.append(math.ceil(schema["exclusiveMaximum"]) - 1)
    return (max(lows) if lows else None), (min(highs) if highs else None)


def integer_range(low: int | None, high: int | None) -> str:
    """GBNF for the integers from `low` to `high`; None is unbounded, up to 16 digits."""
    if low is None and high is None:
        return "integer"
    low = -(10**16) + 1 if low is None else low
    high = 10**16 - 1 if high is None else high
    if low > high:
        raise SchemaError(f"no integer from {low} to {high}")
    parts = []
    if low < 0:
        parts.append(f'"-" ( {_natural(max(1, -high), -low)} )')
    if high >= 0:
        parts.append(_natural(max(0, low), high))
    return "( " + " | ".join(parts) + " )"


def _natural(low: int, high: int) -> str:
    parts = []
    for digits in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (digits - 1) if digits > 1 else 0)
        last = min(high, 10**digits - 1)
        if first <= last:
            parts.append(_same_length(str(first), str(last)))
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    if not low:
        return ""
    if low == high:
        return literal(low)
    rest = len(low) - 1
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return f"[{low[0]}-{high[0]}]" + (f" [0-9]{{{rest}}}" if rest else "")
    if low[0] == high[0]:
        return f"{literal(low[0])} ( {_same_length(low[1:], high[1:])} )"
    parts = [f"{literal(low[0])} ( {_same_length(low[1:], '9' * rest)} )"]
    if int(high[0]) - int(low[0]) > 1:
        parts.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}] [0-9]{{{rest}}}")
    parts.append(f"{literal(high[0])} ( {_same_length('0' * rest, high[1:])} )")
    return " | ".join(parts)


def _number(schema: Schema) -> str:
    """Bounded numbers have a bounded whole part and no exponent; `problems` checks the rest."""
    lows = [schema[key] for key in ("minimum", "exclusiveMinimum") if schema.get(key) is not None]
    highs = [schema[key] for key in ("maximum", "exclusiveMaximum") if schema.get(key) is not None]
    if not lows and not highs:
        return "number"
    parts = []
    high, low = (min(highs) if highs else None), (max(lows) if lows else None)
    if low is None or low < 0:
        whole = integer_range(
            0 if high is None or high >= 0 else math.floor(-high), None if low is None else math.floor(-low)
        )
        parts.append(f'"-" {whole} ( "." [0-9]{{1,12}} )?')
    if high is None or high >= 0:
        whole = integer_range(
            max(0, math.floor(low)) if low is not None else 0, None if high is None else math.floor(high)
        )
        parts.append(f'{whole} ( "." [0-9]{{1,12}} )?')
    return "( " + " | ".join(parts) + " )"


# --- checking
def problems(value: Any, schema: Any, root: Schema | None = None, at: str = "value") -> list[str]:
    """What is wrong with `value`, in words for the one who wrote it; empty when it conforms."""
    if not isinstance(schema, dict):
        return []
    root = schema if root is None else root
    if "$ref" in schema:
        return problems(value, find_reference(root, schema["$ref"]), root, at)
    if "const" in schema and not _same(value, schema["const"]):
        return [f"{at} must be {json.dumps(schema['const'])}"]
    if "enum" in schema and not any(_same(value, option) for option in schema["enum"]):
        return [f"{at} must be one of {json.dumps(schema['enum'])}"]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            found = [problems(value, part, root, at) for part in schema[key]]
            return [] if any(not one for one in found) else min(found, key=len)
    if len(schema.get("allOf", [])) == 1:
        return problems(value, schema["allOf"][0], root, at)
    kind = schema.get("type")
    if kind is None and "properties" in schema:
        kind = "object"
    kinds = kind if isinstance(kind, list) else [kind] if kind else []
    if kinds and not any(_is(value, one) for one in kinds):
        return [f"{at} must be of type {' or '.join(kinds)}"]
    if isinstance(value, dict):
        return _object_problems(value, schema, root, at)
    if isinstance(value, list):
        return _array_problems(value, schema, root, at)
    if isinstance(value, str):
        matches = "pattern" not in schema or re.search(schema["pattern"], value)
        return _length_problems(len(value), schema, "minLength", "maxLength", "characters", at) + (
            [] if matches else [f"{at} must match {schema['pattern']}"]
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _bound_problems(value, schema, at)
    return []


def _same(value: Any, option: Any) -> bool:
    return bool(value == option) and isinstance(value, bool) == isinstance(option, bool)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    types: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "number": (int, float), "null": type(None), "boolean": bool,
    }  # fmt: skip
    return isinstance(value, types.get(kind, object))


def _object_problems(value: dict[str, Any], schema: Schema, root: Schema, at: str) -> list[str]:
    properties = schema.get("properties", {})
    found = [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            found += problems(item, properties[name], root, f"{at}.{name}")
        elif others is False:
            found.append(f"{at}.{name} is not known")
        elif isinstance(others, dict):
            found += problems(item, others, root, f"{at}.{name}")
    return found


def _array_problems(value: list[Any], schema: Schema, root: Schema, at: str) -> list[str]:
    found = _length_problems(len(value), schema, "minItems", "maxItems", "items", at)
    for number, item in enumerate(value):
        found += problems(item, schema.get("items", True), root, f"{at}[{number}]")
    return found


def _length_problems(length: int, schema: Schema, low: str, high: str, unit: str, at: str) -> list[str]:
    found = []
    if length < schema.get(low, 0):
        found.append(f"{at} needs at least {schema[low]} {unit}")
    if schema.get(high) is not None and length > schema[high]:
        found.append(f"{at} may have at most {schema[high]} {unit}")
    return found


def _bound_problems(value: float, schema: Schema, at: str) -> list[str]:
    found = []
    if not math.isfinite(value):
        found.append(f"{at} must be finite")
    for key, wrong, words in (
        ("minimum", lambda bound: value < bound, "at least"),
        ("maximum", lambda bound: value > bound, "at most"),
        ("exclusiveMinimum", lambda bound: value <= bound, "more than"),
        ("exclusiveMaximum", lambda bound: value >= bound, "less than"),
    ):
        if schema.get(key) is not None and wrong(schema[key]):
            found.append(f"{at} must be {words} {schema[key]}")
    return found


# --- an example
def example(schema: Any, root: Schema | None = None) -> Any:
    """Some value that conforms, as small as it is easy: what a compiled grammar must accept."""
    if not isinstance(schema, dict):
        return None
    root = schema if root is None else root
    if "$ref" in schema:
        return example(find_reference(root, schema["$ref"]), root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(schema[key][-1], root)  # pydantic puts null last, which also ends recursion
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        required = schema.get("required", [])
        return {name: example(part, root) for name, part in schema.get("properties", {}).items() if name in required}
    if kind == "array":
        return [example(schema.get("items", True), root)] * schema.get("minItems", 0)
    if kind == "string":
        return "a" * schema.get("minLength", 0)
    if kind in ("integer", "number"):
        low, high = integer_bounds(schema)
        if low is not None and high is not None and low > high:
            return (schema.get("minimum", low) + schema.get("maximum", high)) / 2
        return low if low is not None else high if high is not None and high < 0 else 0
    return False if kind == "boolean" else None
