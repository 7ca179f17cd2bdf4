"""Starting a child process that cannot outlive us.

How it works. On Linux a child asks the kernel for a signal at its parent's death (`PR_SET_PDEATHSIG`) before it becomes the
program, so even a supervisor that is killed with -9 leaves nothing behind. A child runs in a session of its own: Ctrl-C reaches only
the supervisor, which then stops its children in order instead of all at once.

What may go wrong. The kernel watches the parent's *thread*: start children from a thread that lives as long as the process (the
main thread). The request is lost when the process changes its user afterwards, so the user is changed first (`subprocess` does
that before `preexec_fn`). The parent may die between fork and request; the child sees that its parent changed and leaves.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
UNPRIVILEGED = "nobody"
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def spawn(
    arguments: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    at_death: signal.Signals = signal.SIGKILL,
    user: str | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program on a leash; `at_death` is what it gets when we die. Its output goes to the end of `log`, or where ours goes."""
    account = pwd.getpwnam(user) if user else None
    output = log.open("ab") if log else None
    try:
        return subprocess.Popen(
            [str(argument) for argument in arguments],
            env={**passed_on(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            cwd=cwd,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            start_new_session=True,
            preexec_fn=_leash(at_death),  # noqa: PLW1509 - one system call, prepared before the fork
            pass_fds=tuple(pass_fds),
        )
    finally:
        if output:
            output.close()


def passed_on() -> dict[str, str]:
    """What a child inherits of our environment: nothing that could hold a secret."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def terminate(child: subprocess.Popen[bytes], ask: signal.Signals, patience: float) -> int:
    """Ask a child to stop, insist after `patience` seconds, and give its exit code."""
    if child.poll() is None:
        child.send_signal(ask)
    return await_end(child, patience)


def await_end(child: subprocess.Popen[bytes], patience: float) -> int:
    """Wait for a child that was asked to stop; kill it when it takes too long."""
    try:
        return child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def alive(pid: int) -> bool:
    """Is there such a process, zombies not counted?"""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text("ascii", "replace") if LIBC else ") ?"
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True
    return state.rpartition(")")[2].split()[0] != "Z"


def _leash(at_death: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def hold() -> None:
        if LIBC:
            LIBC.prctl(PR_SET_PDEATHSIG, int(at_death), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return hold
