"""Gradio, for the pages that are made with it: it takes seconds to import, and the others do without.

Law of the file: Gradio tells nobody anything.
"""

import os
from typing import TYPE_CHECKING

from builder.extras import extra

__all__ = ["gr"]

# Read when Gradio is imported: clusters are offline, and what people look at is nobody else's business.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    import gradio as gr
else:
    gr = extra("gradio", "web")
