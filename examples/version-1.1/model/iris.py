"""The model: multinomial logistic regression, its coefficients kept in iris.json."""

import json
from operator import mul
from pathlib import Path

MODEL = json.loads((Path(__file__).parent / "iris.json").read_text())


def species(flower):
    """The most likely species of a flower, a dict with the four measurements."""
    values = [float(flower[feature]) for feature in MODEL["features"]]
    scores = {
        name: weights["intercept"] + sum(map(mul, weights["coefficients"], values))
        for name, weights in MODEL["species"].items()
    }
    return max(scores, key=scores.get)
