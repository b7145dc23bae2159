"""The nouns: what a dialogue is, how it is drawn, held, judged, voiced and laid out as a row.

Law of the folder: nothing here opens a file, reads a clock, touches a socket or uses global randomness.
"""
