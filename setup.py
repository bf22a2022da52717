"""What pyproject.toml cannot say: the top folders data/ and examples/ travel in the wheel as parts of janus_al."""

from setuptools import find_packages, setup

MAPPED = {"janus_al.data": "data", "janus_al.examples": "examples"}

setup(packages=[*find_packages(include=["janus_al*", "simulators*", "loop*"]), *MAPPED], package_dir=MAPPED)
