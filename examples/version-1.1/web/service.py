"""Service stage: answers people, and asks the scoring service."""

import os
import socket

import requests
from flask import Flask, jsonify, request

SCORING_SERVICE = "http://scoring-service:5000/score"

app = Flask(__name__)


@app.route("/")
def classify():
    """For example /?sepal_length=6.1&sepal_width=2.9&petal_length=5.6&petal_width=1.8"""
    flower = {
        "sepal_length": request.args.get("sepal_length", 6.1),
        "sepal_width": request.args.get("sepal_width", 2.9),
        "petal_length": request.args.get("petal_length", 5.6),
        "petal_width": request.args.get("petal_width", 1.8),
    }
    answer = requests.post(SCORING_SERVICE, json=flower, timeout=5)
    answer.raise_for_status()
    return jsonify(
        {
            "flower": flower,
            "answered_by": f"{socket.gethostname()}:{os.getpid()}",
            **answer.json(),
        }
    )


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
