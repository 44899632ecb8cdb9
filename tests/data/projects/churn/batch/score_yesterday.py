"""Score with the server of the day before; on the first day there is none."""
import os
from urllib.parse import urljoin

import requests
import yaml

print("password has", len(os.environ["CRM_PASSWORD"]), "letters")
try:
    answer = requests.get(urljoin("http://model-server:5000", "/score"), params={"months": 3}, timeout=5)
    print("yesterday's server:", yaml.safe_load(answer.text)["risk"])
except requests.ConnectionError:
    print("no server yet")
