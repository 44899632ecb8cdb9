import csv
from pathlib import Path

DATA = Path(__file__).parent.parent / "data" / "sales.csv"


def load():
    with open(DATA) as file:
        rows = list(csv.DictReader(file))
    X = [[float(row["price"]), float(row["promoted"])] for row in rows]
    return X, [float(row["sold"]) for row in rows]
