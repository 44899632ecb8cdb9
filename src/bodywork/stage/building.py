"""Makes the environment of a stage from its lock, in the pod; `packages.py` says when."""

import errno
import gzip
import os
import shutil
import signal
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from bodywork.stage import installing
    from bodywork.stage.failure import FailedError
    from bodywork.stage.turn import take
else:
    import installing
    from failure import FailedError
    from turn import take
if TYPE_CHECKING:
    from typing import Callable, FrozenSet, List, Tuple

    from bodywork.stage.order import Lock

KEPT_OUTPUT = 256 * 1024
WHEELS = "BODYWORK_WHEELS"


def sweep(path: str) -> None:
    """Remove what killed builders have left: of this environment, and of those that nobody makes now."""
    folder, mine = os.path.split(path)
    for left in os.listdir(folder):
        name, _, rest = left.partition(".")
        if rest.endswith("tmp") and (name == mine or abandoned(os.path.join(folder, name + ".lock"))):
            shutil.rmtree(os.path.join(folder, left), ignore_errors=True)


def abandoned(lock: str) -> bool:
    """Whether nobody has this lock, as far as the file system knows."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        return take(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)


class Builder:
    """Makes one environment at `path`. `work` is a folder of the pod's own."""

    def __init__(self, lock: "Lock", path: str, cache: str, work: str, say: "Callable[[str], None]") -> None:
        self._lock = lock
        self._path = path
        self._cache = os.path.join(cache, "uv")
        self._work = work
        self._say = say
        self._scratch = "%s.%s.tmp" % (path, os.urandom(4).hex())
        self._environment = os.path.join(self._scratch, "env")

    def build(self) -> None:
        os.makedirs(self._scratch)
        try:
            packages = bare(self._environment)
            if not self._lock.empty:
                self._install()
            with open(os.path.join(packages, "bodywork_stage.pth"), "w") as file:
                file.write(installing.HOOK)
            self._settle()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _settle(self) -> None:
        try:
            os.rename(self._environment, self._path)
        except OSError as error:
            # Without file locks another pod may have been faster: its environment is the same.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _install(self) -> None:
        """Without network first, if there may be all of it in uv's cache: the index need not be asked."""
        with gzip.open(self._lock.file, "rt", encoding="utf-8", newline="") as file:
            text = file.read()
        if WHEELS in text and not self._lock.wheels:
            raise FailedError("its packages include files of the project itself, which its pod was not given")
        file_ = os.path.join(self._scratch, installing.file_name(self._lock.form))
        with open(file_, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if os.path.isdir(self._cache) and self._sync(text, file_, offline=True, dated=True)[0] == 0:
            return
        code, output = self._sync(text, file_, offline=False, dated=True)
        if code and self._lock.build_as_of:
            # A project's own lock may name what is newer than its commit says.
            code, output = self._sync(text, file_, offline=False, dated=False)
        if code:
            raise explain(output, self._cache)

    def _sync(self, text: str, file: str, offline: bool, dated: bool) -> "Tuple[int, str]":
        arguments = installing.sync_arguments(
            text=text,
            form=self._lock.form,
            hashed=self._lock.hashed,
            file=file,
            python=os.path.join(self._environment, "bin", "python"),
        )
        # What is built without network might get other tools than those of the date.
        arguments += ["--offline", "--no-build"] if offline else []
        moment = self._lock.build_as_of if dated else None
        names: "FrozenSet[str]" = frozenset(self._lock.undated)
        code, output = 1, ""
        for _ in range(installing.ROUNDS):
            code, output = self._uv(arguments + installing.date_arguments(moment, names))
            new = installing.undated(output) - names
            if code == 0 or not new or not moment:
                break
            names |= new
        return code, output

    def _uv(self, arguments: "List[str]") -> "Tuple[int, str]":
        """Run uv and tell of its progress; its code and what it printed."""
        variables = installing.surroundings(os.environ)
        variables["UV_CACHE_DIR"] = self._cache
        if self._lock.wheels:
            variables[WHEELS] = self._lock.wheels
        output = ""
        with subprocess.Popen(
            [program(self._work), *arguments, "--no-progress", "--color", "never"],
            cwd=self._scratch,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            try:
                for line in (raw.decode("utf-8", "replace") for raw in process.stdout):
                    output = (output + line)[-KEPT_OUTPUT:]
                    if line.lstrip().startswith(installing.SHOWN):
                        self._say(line.strip())
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, output


def program(work: str) -> str:
    """Where uv is. Raises FailedError."""
    given = os.path.join(work, "bin", "uv")
    for path in (given, os.environ.get("BODYWORK_UV"), shutil.which("uv")):
        if path and os.access(path, os.X_OK):
            return path
    raise FailedError(
        "its image has no uv, which installs packages: "
        "put uv on the PATH there, or let the stage run in an image of bodywork"
    )


def bare(environment: str) -> str:
    """Make an environment without packages, as `venv` does; gives the folder for its packages."""
    interpreter = os.path.realpath(sys.executable)
    version = "python%d.%d" % sys.version_info[:2]
    packages = os.path.join(environment, "lib", version, "site-packages")
    programs = os.path.join(environment, "bin")
    os.makedirs(packages)
    os.mkdir(programs)
    os.symlink("lib", os.path.join(environment, "lib64"))
    os.symlink(interpreter, os.path.join(programs, "python"))
    for name in ("python3", version):
        os.symlink("python", os.path.join(programs, name))
    lines = (
        "home = " + os.path.dirname(interpreter),
        "include-system-site-packages = false",
        "version = %d.%d.%d" % sys.version_info[:3],
        "relocatable = true",  # for uv: it is made elsewhere and renamed
    )
    with open(os.path.join(environment, "pyvenv.cfg"), "w") as file:
        file.write("\n".join(lines) + "\n")
    return packages


def explain(output: str, cache: str) -> FailedError:
    """What uv's failure means; the first cause that fits counts."""
    mismatch, unbuilt = installing.MISMATCH.search(output), installing.UNBUILT.search(output)
    said = "\n" + installing.reason(output)
    if any(sign in output for sign in installing.FULL):
        return FailedError(
            "the disk of %s is full; give the stage or its cache more room" % cache, retry=True
        )
    if mismatch:
        what = "%s: the index gives another file than the one that was locked:" % mismatch.group("package")
        return FailedError(what + said)
    if installing.UNREACHABLE.search(output) and not unbuilt:
        return FailedError("the package index cannot be reached from the pod:" + said, retry=True)
    if unbuilt:
        what = "%s has no ready-made wheel for this image, and building it failed:\n" % unbuilt.group(
            "package"
        )
        return FailedError(what + installing.build_log(output))
    if "No solution found" not in output and installing.GIT.search(output):
        return FailedError("a package from Git cannot be fetched from the pod:" + said, retry=True)
    return FailedError("its packages cannot be had for Python %d.%d:" % sys.version_info[:2] + said)
