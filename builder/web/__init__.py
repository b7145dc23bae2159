"""The pages on which people annotate, listen and look. `_server` opens them, `_accounts` says who may; the rest is one file each.

A page is a Gradio `Blocks`, and Gradio is asked for here, once: whoever imports a page has it or is told how to get it.

Law of the folder: a page keeps nothing that would be missed. What somebody does is on the disk before the page says so, and every
event brings along what it is about; so a browser that was open when the server died goes on with the next one.
"""

import os

from builder.extras import extra

# Read when Gradio is imported: clusters are offline, and what people annotate is nobody else's business.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

extra("gradio", "web")
