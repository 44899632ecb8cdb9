"""Train one model; two stages run this file at the same time, each with its own --model."""

import argparse
import os
from datetime import UTC, datetime

import joblib
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from wines import read

MODELS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "forest": lambda: RandomForestClassifier(n_estimators=200),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, required=True)
    name = parser.parse_args().model

    features, measured, cultivars = read("BODYWORK_INPUT_TRAINING")
    model = MODELS[name]().fit(measured, cultivars)
    average = [sum(column) / len(column) for column in zip(*measured, strict=True)]
    artifact = {
        "model": model,
        "name": name,
        "run": os.environ["BODYWORK_RUN"],
        "trained": datetime.now(UTC).isoformat(timespec="seconds"),
        "average": dict(zip(features, average, strict=True)),
    }
    joblib.dump(artifact, os.environ["BODYWORK_OUTPUT_MODEL"])
    print(f"trained {name} on {len(measured)} wines")


if __name__ == "__main__":
    main()
