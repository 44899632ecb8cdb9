"""Look for the best depth of a forest, one process for each."""
import sklearn
from joblib import Parallel, delayed
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_score

from sales import load


def score(depth):
    X, y = load()
    model = RandomForestRegressor(n_estimators=10, max_depth=depth, random_state=0)
    return depth, cross_val_score(model, X, y, cv=3, scoring="neg_mean_absolute_error").mean()


if __name__ == "__main__":
    results = Parallel(n_jobs=2)(delayed(score)(depth) for depth in (1, 2, 3))
    best = max(results, key=lambda result: result[1])
    print(f"scikit-learn {sklearn.__version__}: best depth {best[0]} of {len(results)}")
