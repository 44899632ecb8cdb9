import os

os.system("uvicorn geo:app --host 127.0.0.1 --port 8000 --log-level warning")
