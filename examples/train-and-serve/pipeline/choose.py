"""Pass on the model that does better on the wines that neither has seen."""

import os
import shutil

import joblib
from sklearn.metrics import accuracy_score, log_loss
from wines import read


def main() -> None:
    _, measured, cultivars = read("BODYWORK_INPUT_HELD_OUT")
    merits = {}
    for variable in ("BODYWORK_INPUT_LOGISTIC", "BODYWORK_INPUT_FOREST"):
        artifact = joblib.load(os.environ[variable])
        model = artifact["model"]
        accuracy = accuracy_score(cultivars, model.predict(measured))
        loss = log_loss(cultivars, model.predict_proba(measured))
        print(f"{artifact['name']}: accuracy {accuracy:.3f}, log loss {loss:.3f}")
        merits[variable] = (accuracy, -loss)
    best = max(merits, key=merits.get)
    shutil.copyfile(os.environ[best], os.environ["BODYWORK_OUTPUT_MODEL"])
    print(f"chosen: {best.removeprefix('BODYWORK_INPUT_').lower()}")


if __name__ == "__main__":
    main()
