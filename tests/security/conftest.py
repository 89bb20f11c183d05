"""Brokers shared by the security tests, and the table of rows that a run prints."""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
# Before the first import of a library with OpenMP: waiting threads sleep, as they do in the sandbox.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.security.weakened import WeakenedSandbox
from tests.security.world import SECRET, World

PLANTED_KEY = "PLANTED_API_KEY"
TABLE: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
FUZZED: Counter[str] = Counter()  # test -> examples


@pytest.fixture(scope="session")
def _planted_environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLANTED_KEY, SECRET)
        yield


def _opened(always: set[str]) -> WeakenedSandbox:
    sandbox = WeakenedSandbox(threads=2, memory_mib=4096)
    sandbox.always = frozenset(always)
    sandbox.start()
    return sandbox


@pytest.fixture(scope="session")
def with_namespaces(_planted_environment):
    with _opened(set()) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def without_namespaces(_planted_environment):
    with _opened({"namespaces"}) as sandbox:
        yield sandbox


@pytest.fixture(params=["with_namespaces", "without_namespaces"])
def sandbox(request):
    """The sandbox as users have it, on a machine with and on one without user namespaces."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def weakened(_planted_environment):
    """A broker with an unscrubbed environment and no namespaces; jobs name what else they go without."""
    with _opened({"namespaces", "environment"}) as sandbox:
        sandbox.always = frozenset({"namespaces"})
        yield sandbox


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


# --- the table: row -> attack stopped, control succeeded
def pytest_configure(config):
    config.addinivalue_line("markers", "row(*numbers): rows of the acceptance table that this test covers")


def _rows(item: pytest.Item) -> list[int]:
    attack = getattr(item, "callspec", None) and item.callspec.params.get("attack")
    if attack is not None:
        return [attack.row]
    return [number for marker in item.iter_markers("row") for number in marker.args]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" or report.failed:
        kind = "control" if item.originalname.startswith("test_control") else "attack"
        for row in _rows(item):
            TABLE[row][kind].append(report.passed)


def pytest_terminal_summary(terminalreporter):
    write = terminalreporter.write_line
    for name, examples in FUZZED.items():
        write(f"{name}: {examples} examples")
    if not TABLE:
        return
    write("row | attacks stopped | controls succeeded")
    for row, kinds in sorted(TABLE.items()):
        counts = [f"{sum(kinds[k])} of {len(kinds[k])}" for k in ("attack", "control")]
        write(f"{row:3d} | {counts[0]:15s} | {counts[1]}")
    missing = sorted(set(range(1, 57)) - set(TABLE))
    write(f"rows without a test in this run: {missing or 'none'}")
