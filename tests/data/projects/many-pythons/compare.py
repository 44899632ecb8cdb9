import json
import os

for variable in sorted(os.environ):
    if variable.startswith("BODYWORK_INPUT_"):
        with open(os.environ[variable]) as file:
            said = json.load(file)
        listed = " ".join(f"{name}={version}" for name, version in sorted(said.items()))
        print(variable[len("BODYWORK_INPUT_") :].lower(), listed)
