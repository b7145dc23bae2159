"""Drivers of other projects, each run in an environment that has it.

Law of the folder: a driver imports its project and nothing of this one.
"""
