import json
import os

with open(os.environ["BODYWORK_INPUT_LINE"]) as file:
    line = json.load(file)
print("slope {slope}, at zero {at_zero}".format(**line))
