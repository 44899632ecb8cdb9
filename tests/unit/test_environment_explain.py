"""uv's failures as sentences with a next step; the outputs are those of uv 0.13."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bodywork.environment.explain import Attempt, explain
from bodywork.errors import BodyworkError, MachineError, ResolutionError, UnreachableError
from bodywork.stage.installing import undated

CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because flask==2.1.2 depends on werkzeug>=2.0 and you require flask==2.1.2, we can conclude x.
         And because you require werkzeug==1.0, we can conclude that your requirements are unsatisfiable.
"""
NEWER = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of scikit-learn==1.7.2 and you require it, we can conclude.

hint: `scikit-learn` was filtered by `exclude-newer` to only include packages uploaded before \
2022-06-01T00:00:00Z. The requested version, v1.7.2, was published at 2025-09-09T08:20:19.328Z. \
Consider using `exclude-newer-package` to override the cutoff for this package.
"""
WHEELS = """\
error: No solution found when resolving dependencies
  cause: Because tensorflow==2.8.0 has no wheels with a matching Python ABI tag (e.g., `cp312`).

hint: You require CPython 3.12 (`cp312`), but we only found wheels for `tensorflow` (v2.8.0) with \
the following Python ABI tags: `cp37m`, `cp38`, `cp39`, `cp310`
"""
OLD = """\
error: No solution found when resolving dependencies
  cause: Because the current Python version (3.9.18) does not satisfy Python>=3.11 and numpy depends on it.
"""
UNKNOWN = """\
error: No solution found when resolving dependencies
  cause: Because skikit-learn was not found in the package registry and you require it.
"""
REFUSED = """\
error: Failed to fetch: http://me:secret@127.0.0.1:9/simple/six/
  cause: error sending request for url (http://127.0.0.1:9/simple/six/)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
DENIED = """\
error: Failed to fetch: http://127.0.0.1:9/simple/six/
  cause: HTTP status client error (401 Unauthorized) for url (http://127.0.0.1:9/simple/six/)
"""
OFFLINE = """\
error: No solution found when resolving dependencies
  cause: Because six was not found in the cache and you require six==1.14.0, we can conclude.

hint: Packages were unavailable because the network was disabled. When the network is disabled, registry
"""
MISMATCH = """\
error: Failed to download `idna==3.3`
  cause: Hash mismatch for `idna==3.3`

         Expected:
           sha256:f0
         Computed:
           sha256:84
"""
UNBUILT = """\
   Building numpy==1.19.0
error: Failed to build `numpy==1.19.0`
  cause: Call to `setuptools.build_meta:__legacy__.build_wheel` failed (exit status: 1)

         [stderr]
         Traceback (most recent call last):
           File "x.py", line 28, in <module>
         ModuleNotFoundError: No module named 'distutils.msvccompiler'

hint: This error likely indicates that `numpy@1.19.0` depends on it
"""
FULL = (
    "error: Failed to install: x.whl\n  cause: failed to copy file: No space left on device (os error 28)\n"
)


def told(output: str, *, as_of: datetime | None = datetime(2022, 6, 1, tzinfo=UTC)) -> BodyworkError:
    return explain(output, Attempt(what="flask==2.1.2", python="3.9", as_of=as_of, folder=Path("/tmp")))


@pytest.mark.parametrize(
    ("output", "kind", "message", "hint"),
    [
        (CONFLICT, ResolutionError, "And because you require werkzeug==1.0", "loosen or correct"),
        (NEWER, ResolutionError, "there is no version of scikit-learn==1.7.2", "published on 2025-09-09"),
        (
            NEWER,
            ResolutionError,
            "for Python 3.9 as of 2022-06-01",
            "`--as-of 2025-09-10`, or `resolve: latest`",
        ),
        (WHEELS, ResolutionError, "no wheels with a matching", 'one of "3.8", "3.9", "3.10"'),
        (OLD, ResolutionError, "does not satisfy Python>=3.11", "set `python:` in bodywork.yaml to >=3.11"),
        (UNKNOWN, ResolutionError, "was not found in the package registry", "is skikit-learn spelt right?"),
        (REFUSED, UnreachableError, "Connection refused", "HTTPS_PROXY"),
        (DENIED, UnreachableError, "401 Unauthorized", "credentials"),
        (OFFLINE, UnreachableError, "the network is switched off", "once with network"),
        (MISMATCH, ResolutionError, "idna==3.3: the index gives another file", "lock"),
        (UNBUILT, ResolutionError, "No module named 'distutils.msvccompiler'", "set `python:`"),
        (FULL, MachineError, "the disk is full", "make room"),
        ("error: Odd\n  cause: thing\n", ResolutionError, "Odd\n  thing", "correct"),
    ],
)
def test_each_failure_has_its_sentence_and_a_next_step(
    output: str, kind: type[BodyworkError], message: str, hint: str
):
    error = told(output)

    assert type(error) is kind
    assert message in error.message
    assert hint in str(error.hint)


def test_no_password_is_shown():
    assert "secret" not in told(REFUSED).message


def test_uvs_own_marks_are_taken_off():
    assert "cause:" not in told(CONFLICT).message
    assert "hint:" not in told(NEWER).message


def test_packages_without_upload_times_are_recognised():
    said = (
        "warning: `tiny_lib-2.0-py3-none-any.whl` is missing an upload date, but user provided: 2022\n"
        "warning: `zope.interface-5.4.0.tar.gz` is missing an upload date, but user provided: 2022\n"
    )

    assert undated(said) == {"tiny-lib", "zope-interface"}
