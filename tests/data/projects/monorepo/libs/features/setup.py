from setuptools import setup

setup(name="features", version="0.1", py_modules=["features"])
