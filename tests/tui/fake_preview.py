"""Stands in for client/preview.py where a test is about the form: the same lines, with the csv module alone."""

import csv
import json
import sys
from pathlib import Path

request = json.loads(sys.stdin.read())


def say(step: str, **values: object) -> None:
    print(json.dumps({"step": step, **values}), flush=True)


def main() -> None:
    with open(Path(request["data"][0]), newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=request["sep"] or ","))
    if not rows:
        say("error", error="DataError", message="The file is empty.", hint="Choose another file.")
        return
    say("table", rows=len(rows) - 1, columns=rows[0], head=rows[1:51])
    target = request["target"] or ("target" if "target" in rows[0] else None)
    if target is None:
        say("profile", profile={"rows": len(rows) - 1, "duplicates": 0, "columns": []})
        say("error", error="UsageError", message="It is not clear which column is to be predicted.", hint="Name it.")
        return
    if target not in rows[0]:
        say("error", error="UsageError", message=f"There is no column {target}.", hint="Name it with --target.")
        return
    source = {"target": "flag" if request["target"] else "inferred"}
    task = {"target": target, "kind": "binary", "metric": "roc_auc", "warnings": [], "source": source}
    say("task", task=task)
    columns = [{"name": name, "leak": name == "leaky", "leak_reason": "it follows the target"} for name in rows[0]]
    say("profile", profile={"rows": len(rows) - 1, "duplicates": 0, "columns": columns})


main()
