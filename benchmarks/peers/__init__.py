"""Drivers of other projects, each run in an environment that holds that project and nothing of this one.

Law of the folder: `with_NAME.py` imports NAME and `chat.py` beside it; `NAME.txt` pins all that it is installed with.
"""
