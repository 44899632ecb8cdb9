"""Average the measurements of data/iris.csv for each species."""

import csv
import os
from collections import defaultdict
from pathlib import Path
from statistics import mean


def main() -> None:
    with (Path(__file__).parent / "data" / "iris.csv").open(newline="") as file:
        flowers = list(csv.DictReader(file))
    groups = defaultdict(list)
    for flower in flowers:
        groups[flower.pop("species")].append(flower)

    with Path(os.environ["BODYWORK_OUTPUT_SUMMARY"]).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["species", "flowers", *flowers[0]])
        for species, group in sorted(groups.items()):
            averages = (mean(float(flower[name]) for flower in group) for name in flowers[0])
            writer.writerow([species, len(group), *(f"{average:.2f}" for average in averages)])
    print(f"summarised {len(flowers)} flowers of {len(groups)} species")


if __name__ == "__main__":
    main()
