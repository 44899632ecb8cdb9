"""Process 1 of a stage's pod: makes ready what the stage needs, runs its module, keeps its outputs.

    python3 -I -S /bodywork/launch.py       BODYWORK_LAUNCH says what to do: see `order.py`

It prints lines that begin with `bodywork: ` while it prepares, the last of them `bodywork: starting …`
just before the module starts. At the end it writes the termination message, see `report.py`, and exits as
the module did: with its code, or 128 + the signal that ended it; with 97 when preparing failed, with 1
when outputs could not be kept.

Standard library only, Python >= 3.8; imports little, since every restart of a service waits for it.
"""

import json
import os
import signal
import sys
import time

STARTED = time.monotonic()
TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from bodywork.stage import archive, drain, module, packages
    from bodywork.stage.failure import FailedError, StoppedError, of_disk
    from bodywork.stage.order import Input, Order, Output
    from bodywork.stage.report import Report
    from bodywork.stage.workplace import Workplace, artifact_variable
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # -I leaves it out
    import archive
    import drain
    import module
    import packages
    from failure import FailedError, StoppedError, of_disk
    from order import Order
    from report import Report
    from workplace import Workplace, artifact_variable
if TYPE_CHECKING:
    from typing import Any, Optional

NOT_PREPARED = 97
BACKSTOP = 15.0  # seconds after which we end a module that nobody else has ended
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Launch:
    """One start of the stage. What it says is masked, as what the module prints is."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._place = Workplace(order)
        self.report = Report()
        self._given = dict(os.environ)
        self._hidden = [os.environ[name] for name in order.secrets if os.environ.get(name)]

    def run(self) -> None:
        """All of it. Raises FailedError, StoppedError, OSError."""
        python = self._prepare()
        self._say("starting %s (packages ready after %.1f s)" % (self._order.run, time.monotonic() - STARTED))
        self._run_module(python)
        if not self.report.exit_code and self._order.outputs:
            self.report.phase = "outputs"
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            for output in self._order.outputs:
                self.report.outputs[output.name] = self._keep(output)

    def _prepare(self) -> str:
        """Project, packages and inputs; gives the Python to use."""
        order = self._order
        signal.setitimer(signal.ITIMER_REAL, order.prepare_timeout or 0.0)
        check_python(order.python)
        self._place.make_room()
        os.environ.update(self._place.without_proxy(os.environ))
        os.environ.update(HOME=self._place.home, TMPDIR=self._place.scratch)
        if order.source is not None:
            archive.unpack(order.source, order.project, links=True)
        if not os.path.isfile(self._place.module):
            raise FailedError("%s is not in the project" % order.run)
        python = packages.provide(order.lock, order.cache, self._place.root, self._say)
        for one in order.inputs:
            self._bring(one)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        return python

    def _bring(self, one: "Input") -> None:
        path = self._place.input(one.name, one.file)
        try:
            if one.origin is not None:
                transfer().get(one.origin, one.digest, path, self._place.scratch)
            elif not os.path.exists(path):
                raise FailedError("the container that fetches inputs has not put it at %s" % path)
        except FailedError as failure:
            raise FailedError("its input %s cannot be had: %s" % (one.name, failure), failure.retry) from None

    def _run_module(self, python: str) -> None:
        variables = self._place.variables(self._given, python)
        os.chdir(os.path.dirname(self._place.module))
        timeout = self._order.timeout
        self.report.phase, self.report.began = "module", time.time()
        ended = module.run(
            self._place.command(python),
            variables,
            timeout and timeout + BACKSTOP,
            drain.Drain(self._order.drain, self._order.port, self._place.leaving)
            if self._order.drain
            else None,
            "did not end within %g s" % (timeout or 0.0),
            self._masker() if self._hidden else None,
        )
        self.report.exit_code, self.report.signal, self.report.reason = ended.code, ended.signal, ended.reason
        self.report.peak_memory, self.report.cpu_seconds = ended.peak_memory, ended.cpu_seconds

    def _keep(self, output: "Output") -> str:
        path = self._place.output(output.file)
        if not os.path.exists(path):
            raise FailedError(
                "exited with 0, but did not write its output %s: the stage has to write it to the path in $%s"
                % (output.name, artifact_variable("OUTPUT", output.name)),
                retry=True,
            )
        try:
            digest: str = transfer().put(output.to, path, self._place.scratch)
            return digest
        except FailedError as failure:
            raise FailedError(
                "its output %s could not be kept: %s" % (output.name, failure), failure.retry
            ) from None

    def masked(self, text: str) -> str:
        return self._masker().text(text) if self._hidden else text

    def _masker(self) -> "Any":
        if TYPE_CHECKING or __package__:
            from bodywork.stage.masking import Masker
        else:
            from masking import Masker
        return Masker(self._hidden)

    def _say(self, text: str) -> None:
        say(self.masked(text))


def check_python(wanted: str) -> None:
    """Raises FailedError when we are not the version that the packages were locked for."""
    ours = "%d.%d.%d" % sys.version_info[:3]
    if not (ours + ".").startswith(wanted + "."):
        raise FailedError(
            "it asks for Python %s, but its image has %s: "
            "name an image with that Python, or correct `python:`" % (wanted, ours)
        )


def transfer() -> "Any":
    """Loaded when there is something to fetch or to keep: it takes longer than all else."""
    if TYPE_CHECKING or __package__:
        from bodywork.stage import transfer as loaded
    else:
        import transfer as loaded
    return loaded


def say(text: str) -> None:
    for line in text.splitlines():  # whatever encoding the stage was given, and at once
        os.write(1, ("bodywork: %s\n" % line).encode("utf-8", "replace"))


def ended(number: int, frame: "Any") -> None:
    """Asked to end while there is no module to pass that on to."""
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)
    raise StoppedError(number)


def late(number: int, frame: "Any") -> None:
    raise FailedError("its packages and inputs were not ready in time", retry=True)


def carry_out(launch: Launch) -> "Optional[FailedError]":
    """Run the stage; what kept us from it, if anything did."""
    try:
        launch.run()
    except FailedError as failure:
        return failure
    except OSError as error:
        return of_disk(error)
    except Exception as error:
        import traceback

        traceback.print_exc()
        return FailedError(
            "the runtime of bodywork failed: %s: %s" % (type(error).__name__, error), retry=True
        )
    return None


def main() -> int:
    for number in ENDING:
        signal.signal(number, ended)
    signal.signal(signal.SIGALRM, late)
    told = os.environ.pop("BODYWORK_LAUNCH", None)
    if told is None:
        say("BODYWORK_LAUNCH is not set: this is what runs a stage in its pod, not a command of its own")
        return 2
    launch = Launch(Order(json.loads(told)))
    report = launch.report
    try:
        failure = carry_out(launch)
        if failure is not None:
            report.reason, report.retry = launch.masked(str(failure)), failure.retry
            report.exit_code = NOT_PREPARED if report.phase == "preparing" else 1
            say(report.reason)
    except StoppedError as stopped:
        doing = "preparing" if report.phase == "preparing" else "keeping its outputs"
        report.reason, report.signal = "was stopped while %s" % doing, stopped.signal
        report.exit_code = 128 + stopped.signal
    report.write()
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
