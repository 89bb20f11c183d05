"""Smaller weights by llama.cpp's own quantiser, in a child that may crash alone: `python -m finetune.quantise`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

KINDS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")


def quantise(source: Path, out: Path, kind: str, threads: int = 0) -> int:
    """Write `source` (F32 or F16 GGUF) as `kind`; returns the file's bytes. Raises OSError when llama.cpp fails.

    `out` may be `source`. K-quants want rows of a multiple of 256 numbers; llama.cpp takes the next larger kind for
    other ones.
    """
    part = out.with_suffix(".part")
    command = [sys.executable, "-m", "finetune.quantise", str(source), str(part), kind, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not part.is_file():
        part.unlink(missing_ok=True)
        raise OSError(f"llama.cpp could not write {kind}: {done.stderr[-1000:]}")
    part.replace(out)
    return out.stat().st_size


def _main(source: str, out: str, kind: str, threads: str) -> int:
    import llama_cpp

    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.nthread = int(threads)
    return int(llama_cpp.llama_model_quantize(source.encode(), out.encode(), params))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
