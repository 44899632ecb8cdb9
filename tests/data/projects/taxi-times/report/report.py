import requests

trip = requests.get("http://trip-gateway:8080/trip/harbour", timeout=5)
trip.raise_for_status()
score = requests.post("http://Score-Trips:8000/api/v1/minutes", json={"kilometres": 2}, timeout=5)
print("harbour:", trip.json()["minutes"], "two kilometres:", score.json()["minutes"])
