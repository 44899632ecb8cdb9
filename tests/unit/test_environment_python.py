"""Which interpreter is meant by a version."""

import pytest

from bodywork.environment.python import Interpreter, newest, parse
from bodywork.errors import MachineError

FOUND = [
    Interpreter(path="/a", version=(3, 12, 1)),
    Interpreter(path="/b", version=(3, 12, 10)),
    Interpreter(path="/c", version=(3, 12, 10)),
    Interpreter(path="/d", version=(3, 1, 2)),
]


def test_the_newest_patch_wins_and_the_first_of_equals():
    assert newest(FOUND, (3, 12)) == FOUND[1]


def test_an_exact_version_is_exact():
    assert newest(FOUND, (3, 12, 1)) == FOUND[0]
    assert newest(FOUND, (3, 12, 2)) is None


@pytest.mark.parametrize("version", ["3", "three", "3.x", "", "3.12.1.2", "3.12rc1"])
def test_what_is_no_version_is_refused(version: str):
    with pytest.raises(MachineError, match="is not a Python version"):
        parse(version)


def test_a_version_that_stages_cannot_run_on_is_refused():
    with pytest.raises(MachineError, match=r"Python 3\.7 is too old"):
        parse("3.7")
