import os

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(title="scoring", debug=False)


class Trip(BaseModel):
    kilometres: float


@app.post("/api/v1/minutes")
def minutes(trip: Trip):
    return {"minutes": round(4 + 2.5 * trip.kilometres, 1), "process": os.getpid()}
