import subprocess

subprocess.run(["gunicorn", "--workers", "2", "--bind", "0.0.0.0:5000", "server.wsgi:app"], check=True, cwd="..")
