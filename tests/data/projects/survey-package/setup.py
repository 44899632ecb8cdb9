import time

from setuptools import setup

time.sleep(4)  # a compiler at work
setup(name="answers", version="1.4.0", py_modules=["answers"])
