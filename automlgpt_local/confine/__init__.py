"""Kernel layers for one untrusted process, by ctypes, without root and without an extra package.

    landlock     which paths may be read and written
    seccomp      which system calls may be made: no socket, no exec, no new process, no change of metadata
    limits       memory, CPU, file size, open files; no capabilities; the end together with the parent
    bubblewrap   in the place of Landlock where that is missing
    namespaces   user, pid, net, ipc, mount: a bonus where the machine allows them
    policy       all of them in order, or an error
    probe        what this machine can enforce

Covered: Linux >= 6.2 on x86-64; aarch64 by a table that was never run. Elsewhere generated code is refused.
"""

from automlgpt_local.confine.policy import REQUIRED, Policy, apply
from automlgpt_local.confine.probe import layers, missing, report
from automlgpt_local.confine.worker import apply_worker_layers

__all__ = ["REQUIRED", "Policy", "apply", "apply_worker_layers", "layers", "missing", "report"]
