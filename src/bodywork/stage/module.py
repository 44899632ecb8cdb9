"""The module of a stage as a child of process 1: started, sent what we are sent, waited for, measured.

One loop waits for signals and deadlines. As process 1 we are also the parent of all orphans, and our end
is the end of every process of the container.
"""

import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from bodywork.stage import memory
else:
    import memory
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from bodywork.stage.drain import Drain

PASSED_ON = frozenset(
    (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
)
WATCHED = PASSED_ON | {signal.SIGCHLD}
RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, *WATCHED)  # an interpreter changes some of them for itself
GRACE = 10.0  # seconds between TERM and KILL
FOREVER = 3600.0
MASKING_END = 5.0  # seconds for the last output, once all that print have ended
RSS = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


class Ended:
    """How it ended: its code, or the signal that ended it. `reason` is empty when all is well."""

    def __init__(self, status: int, usage: "Any", late: str) -> None:
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = 128 + self.signal if self.signal else os.WEXITSTATUS(status)
        self.code = code if code or not late else 128 + signal.SIGTERM
        # A new process starts with its parent's count (getrusage(2), ru_maxrss, is kept over an exec).
        more = usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.peak_memory: "Optional[int]" = usage.ru_maxrss * RSS if more else None
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.reason = late or (self._sentence() if self.code else "")

    def _sentence(self) -> str:
        if self.signal is None:
            return "exited with %d%s" % (self.code, memory.shortage(" after a process of it was killed as "))
        if self.signal == signal.SIGKILL and memory.shortage():
            return "was killed as %s" % memory.shortage()
        try:
            return "was killed by %s" % signal.Signals(self.signal).name
        except ValueError:
            return "was killed by signal %d" % self.signal


class Module:
    """A running module. `timeout` is in seconds. `drain` says for how long TERM is kept back."""

    def __init__(
        self,
        command: "List[str]",
        variables: "Dict[str, str]",
        timeout: "Optional[float]",
        drain: "Optional[Drain]",
        output: "Optional[int]",
    ) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or there would be nothing to wait for
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        actions = [(os.POSIX_SPAWN_DUP2, output, number) for number in (1, 2)] if output is not None else []
        self._pid = os.posix_spawn(
            command[0],
            command,
            variables,
            file_actions=actions,
            setpgroup=0,
            setsigmask=(),
            setsigdef=RESTORED,
        )
        self._drain = drain
        self._draining: "Optional[Drain]" = None
        self._late = ""
        self._due: "Dict[int, float]" = {}
        """Signals that are to be sent, and when."""
        self._limit = timeout and (time.monotonic() + timeout)

    def wait(self, limit: str) -> Ended:
        """Until it has ended. `limit` is what to say when its time is over."""
        while True:
            happened = signal.sigtimedwait(WATCHED, self._patience())
            if happened is not None and happened.si_signo in PASSED_ON:
                self._pass_on(happened.si_signo)
            ended = self._reap()
            if ended is not None:
                self._end_others()
                return Ended(*ended, late=self._late)
            self._send_due(limit)

    def _patience(self) -> float:
        moments = [*self._due.values(), *([self._limit] if self._limit else [])]
        return max(0.0, min(moments) - time.monotonic()) if moments else FOREVER

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGTERM and self._drain is not None:
            self._draining, self._drain = self._drain, None  # whoever asks again means it
            self._due[number] = time.monotonic() + self._draining.begin()
        else:
            self._due.pop(number, None)
            os.kill(self._pid, number)

    def _send_due(self, limit: str) -> None:
        now = time.monotonic()
        if self._limit and self._limit <= now:
            self._late, self._limit = limit, None
            self._due, self._draining = {signal.SIGTERM: now, signal.SIGKILL: now + GRACE}, None
        for number in [one for one, moment in self._due.items() if moment <= now]:
            left = self._draining.left() if number == signal.SIGTERM and self._draining else 0.0
            if left:
                self._due[number] = now + left
                continue
            del self._due[number]
            os.kill(self._pid, number)

    def _reap(self) -> "Optional[Tuple[int, Any]]":
        """Take in all that have ended; the status of the module if it has."""
        found = None
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid == self._pid:
                found = status, usage

    def _end_others(self) -> None:
        """What it has left behind may write to its outputs no more."""
        try:
            if os.getpid() == 1:
                os.kill(-1, signal.SIGKILL)
            else:
                os.killpg(self._pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def run(
    command: "List[str]",
    variables: "Dict[str, str]",
    timeout: "Optional[float]",
    drain: "Optional[Drain]",
    limit: str,
    masker: "Any",
) -> Ended:
    """Run it to its end in the current folder; with a masker, all that it prints goes through that."""
    if masker is None:
        return Module(command, variables, timeout, drain, None).wait(limit)
    import threading

    if TYPE_CHECKING or __package__:
        from bodywork.stage.log_filter import relay
    else:
        from log_filter import relay
    reader, writer = os.pipe()
    try:
        module = Module(command, variables, timeout, drain, writer)
    finally:
        os.close(writer)
    thread = threading.Thread(target=relay, args=(reader, 1, masker), daemon=True)
    thread.start()
    ended = module.wait(limit)
    thread.join(MASKING_END)
    return ended
