"""Pages that draw: studio and labelling on this machine, and the explorer, a folder that any browser opens."""

import os

# Set before they are imported: gradio and huggingface_hub report nothing, check for no new version, fetch nothing.
os.environ.update(
    GRADIO_ANALYTICS_ENABLED="False",
    GRADIO_RUN_HISTORY="False",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_OFFLINE="1",
)
