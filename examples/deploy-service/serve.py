"""Serve a model that is kept in the repository: which species is this iris?"""

import json
import math
from pathlib import Path

from flask import Flask, jsonify, request
from waitress import serve

MODEL = json.loads((Path(__file__).parent / "model" / "iris.json").read_text())

app = Flask(__name__)


def probabilities(flower: dict[str, float]) -> dict[str, float]:
    """Multinomial logistic regression: a linear score for each species, then softmax."""
    values = [float(flower[name]) for name in MODEL["features"]]
    scores = {}
    for species, weights in MODEL["species"].items():
        terms = (weight * value for weight, value in zip(weights["coefficients"], values, strict=True))
        scores[species] = weights["intercept"] + sum(terms)
    highest = max(scores.values())
    parts = {species: math.exp(score - highest) for species, score in scores.items()}
    return {species: part / sum(parts.values()) for species, part in parts.items()}


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.post("/predict")
def predict():
    try:
        found = probabilities(request.get_json())
    except (KeyError, TypeError, ValueError):
        return jsonify(error=f"send JSON with a number for each of {', '.join(MODEL['features'])}"), 400
    species = max(found, key=found.get)
    return jsonify(species=species, probability=round(found[species], 3))


if __name__ == "__main__":
    serve(app, host="0.0.0.0", port=5000)
