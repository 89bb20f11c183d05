"""scikit-learn's bundled data sets as CSV files: real tables on a machine that has no network.

`python -m automlgpt_local.client.examples NAME DIR` writes one and prints its path.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from automlgpt_local.errors import UsageError


@dataclass(frozen=True)
class Example:
    name: str
    target: str
    kind: str
    what: str


EXAMPLES = {
    e.name: e
    for e in (
        Example("breast_cancer", "diagnosis", "binary", "569 cell images as 30 numbers: malignant or benign"),
        Example("wine", "cultivar", "multiclass", "178 wines as 13 measurements: which of three cultivars"),
        Example("iris", "species", "multiclass", "150 flowers as 4 lengths: which of three species"),
        Example("digits", "digit", "multiclass", "1,797 handwritten digits as 8 x 8 pixels"),
        Example("diabetes", "progression", "regression", "442 patients as 10 numbers: progression after a year"),
    )
}


def write_example(name: str, folder: Path) -> Path:
    """Write `<folder>/<name>.csv`; its path. Raises UsageError."""
    example = EXAMPLES.get(name)
    if example is None:
        raise UsageError(f"There is no example {name!r}.", f"The examples are: {', '.join(EXAMPLES)}.")
    path = folder / f"{name}.csv"
    if path.exists():
        raise UsageError(f"{path} is there already.", "Choose another folder, or remove it.")
    import sklearn.datasets

    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(sklearn.datasets, f"load_{name}")(as_frame=True, **options)
    frame = bunch.frame.rename(columns={"target": example.target})
    if example.kind != "regression" and name != "digits":
        frame[example.target] = [str(bunch.target_names[i]) for i in bunch.target]
    frame.columns = [c.replace(" (cm)", "_cm").replace(" ", "_").replace("/", "_") for c in frame.columns]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another folder.") from error
    return path


if __name__ == "__main__":
    print(write_example(sys.argv[1], Path(sys.argv[2])))
