import os

import flask
import werkzeug
from flask import Flask, jsonify, request

app = Flask(__name__)
SECRET = os.environ["CRM_PASSWORD"]


@app.route("/score")
def score():
    months = int(request.args["months"])
    return jsonify(
        risk="high" if months < 6 else "low",
        worker=os.getpid(),
        secret=len(SECRET),
        flask=flask.__version__,
        werkzeug=werkzeug.__version__,
    )
