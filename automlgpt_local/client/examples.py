"""Bundled data sets as CSV files: real tables on a machine that has no network.

`python -m automlgpt_local.client.examples NAME DIR` writes one and prints its path.
"""

from __future__ import annotations

import sys

from automlgpt_local.data.examples import EXAMPLES, Example, write_example

__all__ = ["EXAMPLES", "Example", "write_example"]

if __name__ == "__main__":
    print(write_example(sys.argv[1], sys.argv[2]))
