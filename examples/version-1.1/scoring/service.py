"""Service stage: scores flowers for other services."""

import os
import socket

from flask import Flask, jsonify, request
from model.iris import species

app = Flask(__name__)


@app.route("/score", methods=["POST"])
def score():
    return jsonify(
        {
            "species": species(request.json),
            "scored_by": f"{socket.gethostname()}:{os.getpid()}",
        }
    )


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
