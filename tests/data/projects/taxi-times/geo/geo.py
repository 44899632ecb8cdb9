import json

from fastapi import FastAPI

app = FastAPI()
with open("places.json") as file:
    PLACES = json.load(file)


@app.get("/places/{name}")
async def place(name: str):
    return {"kilometres": PLACES[name]}
