import json
import os

failure = json.loads(os.environ["BODYWORK_FAILURE"])
print("TOLD of", failure["stage"], failure["reason"].splitlines()[-1])
