"""Imports that every job shares, done once in the broker. Nothing here may run a parallel region: a fork after one
inherits thread pools without their threads."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import threading
import warnings
from typing import Any

FIRST = (
    "numpy", "pandas", "pyarrow.feather", "scipy.sparse", "scipy.stats", "joblib", "threadpoolctl",
    "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline", "sklearn.preprocessing",
    "sklearn.impute", "sklearn.decomposition", "sklearn.feature_extraction.text", "sklearn.model_selection",
    "lightgbm",
)  # fmt: skip
LATER = ("sklearn.svm", "sklearn.neighbors", "sklearn.neural_network", "skrub", "catboost", "xgboost")

# Set in the broker's environment before any import: one thread each until a job says otherwise.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # A waiting thread spins for a moment, then sleeps: one that spins on starves the other fold, and one that sleeps
    # at once (OMP_WAIT_POLICY=PASSIVE) makes two threads slower than one.
    "GOMP_SPINCOUNT": "20000",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYTHONHASHSEED": "0",  # the order of sets is the same in every run
    "MPLBACKEND": "agg",
}


def load_first() -> Any:
    """Import what every job needs; gives the thread pools found, for `use_threads` in a fork."""
    for name in FIRST:
        importlib.import_module(name)
    return settle()


def load_optional(name: str) -> Any:
    """Import, where installed, one of LATER: what some jobs need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(name)
        except Exception:  # a broken optional library must not stop the sandbox; a job that imports it sees why
            sys.modules.pop(name, None)
    return settle()


def settle() -> Any:
    import joblib
    import threadpoolctl  # type: ignore[import-untyped]
    from sklearn.utils import parallel

    with contextlib.suppress(AttributeError):
        parallel._get_threadpool_controller()  # remembers the loaded libraries, and needs /proc for it
    joblib.cpu_count(only_physical_cores=True)  # remembers the answer; asking starts a process, which jobs cannot
    gc.collect()
    gc.freeze()  # no collection in a fork touches, and so copies, the shared pages
    return threadpoolctl.ThreadpoolController()


def use_threads(pools: Any, threads: int) -> Any:
    """In a fork, before its first parallel region: let every library use `threads` threads. Keep what it returns."""
    import joblib

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        os.environ[name] = str(threads)
    # Processes are not allowed in here: joblib's default pool becomes one of threads.
    limit = pools.limit(limits=threads) if threads > 1 else None  # one is what the broker started with
    return limit, joblib.parallel_config(backend="threading")


def share_locks_between_threads() -> None:
    """Locks of multiprocessing live in /dev/shm, which jobs cannot write; for a pool of threads these do the same."""
    from multiprocessing import synchronize

    def without_context(make: Any) -> Any:
        return lambda *args, ctx=None, **kwargs: make(*args, **kwargs)

    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"):
        setattr(synchronize, name, without_context(getattr(threading, name)))
