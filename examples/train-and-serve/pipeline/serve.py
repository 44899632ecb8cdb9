"""Serve the chosen model; each answer tells which model gave it and which run trained that."""

import os

import joblib
import uvicorn
from fastapi import FastAPI, HTTPException

ARTIFACT = joblib.load(os.environ["BODYWORK_INPUT_MODEL"])
ABOUT = {key: ARTIFACT[key] for key in ("run", "trained")} | {"model": ARTIFACT["name"]}

app = FastAPI(title="Which cultivar is this wine from?")


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"} | ABOUT


@app.post("/predict")
def predict(wine: dict[str, float]) -> dict[str, str | int | float]:
    """The cultivar of a wine, from any of its measurements; those left out count as average."""
    average = ARTIFACT["average"]
    if unknown := wine.keys() - average.keys():
        raise HTTPException(422, f"unknown: {', '.join(unknown)}; known: {', '.join(average)}")
    [probabilities] = ARTIFACT["model"].predict_proba([list((average | wine).values())])
    cultivar = int(probabilities.argmax())
    return {"cultivar": cultivar, "probability": round(float(probabilities[cultivar]), 3)} | ABOUT


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=5000, access_log=False)
