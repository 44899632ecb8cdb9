"""A process may have several connections to the history, while others come and go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bodywork.database import Database

OTHER = """
import sys
from pathlib import Path
from bodywork.database import Database

with Database(Path(sys.argv[1]), ("CREATE TABLE notes (text TEXT)",)).writing() as db:
    db.execute("INSERT INTO notes VALUES ('of another process')")
"""


def test_a_second_connection_does_not_take_the_first_ones_locks(tmp_path: Path) -> None:
    path, migrations = tmp_path / "history.db", ("CREATE TABLE notes (text TEXT)",)
    first = Database(path, migrations)
    first.read("SELECT * FROM notes")
    second = Database(path, migrations, durable=True)
    for number in range(1, 4):
        subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)
        for one in (first, second):
            assert one.read("SELECT count(*) FROM notes") == [(number,)]
    with first.writing() as db:
        db.execute("DELETE FROM notes")
    assert Database(path, migrations).read("SELECT count(*) FROM notes") == [(0,)]
