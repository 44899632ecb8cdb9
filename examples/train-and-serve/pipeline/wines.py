"""Read the wines that `prepare` has written."""

import csv
import os
from pathlib import Path


def read(variable: str) -> tuple[list[str], list[list[float]], list[int]]:
    """Names of the measurements, measurements, cultivars; from the input that `variable` names."""
    with Path(os.environ[variable]).open(newline="") as file:
        names, *rows = csv.reader(file)
    measured = [[float(value) for value in row[:-1]] for row in rows]
    return names[:-1], measured, [int(row[-1]) for row in rows]
