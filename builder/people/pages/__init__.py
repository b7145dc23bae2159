"""The pages on which people annotate, listen and look. `_server` opens them, `_accounts` says who may; the rest is one file each.

A page is HTML of our own, which sends what somebody does to one route and shows what comes back. What serves them all is asked
for here, once: whoever imports a page has it or is told how to get it.

Law of the folder: a page keeps nothing that would be missed. What somebody does is on the disk before the page says so, and every
event brings along what it is about; so a browser that was open when the server died goes on with the next one.
"""

from builder.errors import extra

extra("uvicorn", "web")
extra("fastapi", "web")
