import argparse

import uvicorn

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=1)
    uvicorn.run("scoring_app:app", host="0.0.0.0", port=8000, workers=parser.parse_args().workers)
