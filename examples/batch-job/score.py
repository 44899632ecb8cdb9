"""Score patients: how far will their diabetes have progressed in a year?

Reads data/patients.csv and model.json, both of this repository, and writes one line for each
patient to the file that the stage declares as its output.
"""

import argparse
import csv
import json
import os
from pathlib import Path

HERE = Path(__file__).parent


def progression(patient: dict[str, str], model: dict) -> float:
    """The model is linear: an intercept and a coefficient for each measurement."""
    terms = (weight * float(patient[name]) for name, weight in model["coefficients"].items())
    return model["intercept"] + sum(terms)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threshold", type=float, required=True, help="from here on a doctor should look")
    threshold = parser.parse_args().threshold

    model = json.loads((HERE / "model.json").read_text())
    with (HERE / "data" / "patients.csv").open(newline="") as file:
        patients = list(csv.DictReader(file))

    errors, urgent = [], 0
    with Path(os.environ["BODYWORK_OUTPUT_PREDICTIONS"]).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "predicted", "urgent"])
        for patient in patients:
            predicted = progression(patient, model)
            urgent += predicted >= threshold
            errors.append(abs(predicted - float(patient["progression"])))
            writer.writerow([patient["patient"], f"{predicted:.1f}", predicted >= threshold])

    print(f"scored {len(patients)} patients, {urgent} of them at {threshold:g} or more")
    print(f"mean absolute error against what was measured a year later: {sum(errors) / len(errors):.1f}")


if __name__ == "__main__":
    main()
