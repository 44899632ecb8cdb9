import json
import os
import sys
from importlib.metadata import distributions

said = {d.metadata["Name"].lower(): d.version for d in distributions() if d.metadata["Name"]}
said["python"] = "%d.%d" % sys.version_info[:2]
with open(os.environ["BODYWORK_OUTPUT_SAID"], "w") as file:
    json.dump(said, file)
