"""Split the data: what the models learn from, and what the choice between them is made on."""

import csv
import os
from pathlib import Path

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split


def write(variable: str, names: list[str], rows: list[list[float]]) -> None:
    with Path(os.environ[variable]).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)


def main() -> None:
    wine = load_wine()
    names = [*(name.replace("/", "_") for name in wine.feature_names), "cultivar"]
    rows = [[*values, cultivar] for values, cultivar in zip(wine.data, wine.target, strict=True)]
    training, held_out = train_test_split(rows, test_size=0.3, stratify=wine.target, random_state=1)
    write("BODYWORK_OUTPUT_TRAINING", names, training)
    write("BODYWORK_OUTPUT_HELD_OUT", names, held_out)
    print(f"{len(training)} wines to learn from, {len(held_out)} held out")


if __name__ == "__main__":
    main()
