"""The service that the world sees: asks one sibling for the way, another for the time."""
import httpx
import uvicorn
from fastapi import FastAPI, HTTPException

GEO = "http://2-geo:8000/places"
SCORING = "http://taxi-times--score-trips:8000/api/v1/minutes"

app = FastAPI()


@app.get("/trip/{name}")
async def trip(name: str):
    async with httpx.AsyncClient() as client:
        place = await client.get(f"{GEO}/{name}")
        if place.status_code != 200:
            raise HTTPException(status_code=404, detail="no such place")
        answer = await client.post(SCORING, json=place.json())
    return answer.json()


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8080, loop="uvloop")
