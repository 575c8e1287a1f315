"""Pictures of scenes, maps and figures: arrays in, RGB arrays out.

Every function returns uint8 `(H, W, 3)`; `png_bytes` turns that into a PNG whose bytes depend on the
pixels alone. Matplotlib is imported only by the functions that draw charts.
"""

from eoseg.figures.areas import AreaRow, area_chart
from eoseg.figures.charts import (
    CHART_DPI,
    Curves,
    confusion_image,
    contact_sheet,
    legend_image,
    read_curves,
    scale_image,
)
from eoseg.figures.pictures import (
    DETECTIONS,
    ERRORS,
    NO_LABEL,
    RIGHT,
    WRONG,
    Rgb,
    class_image,
    detection_mask,
    difference_image,
    enlarge,
    error_image,
    error_mask,
    png_bytes,
    rgb_bands,
    rgb_image,
    side_by_side,
    value_image,
)
from eoseg.figures.reliability import reliability_image
from eoseg.figures.seams import SeamPicture, seam_image
from eoseg.figures.selective import selective_image
from eoseg.figures.split_map import split_map_image

__all__ = [
    "CHART_DPI",
    "DETECTIONS",
    "ERRORS",
    "NO_LABEL",
    "RIGHT",
    "WRONG",
    "AreaRow",
    "Curves",
    "Rgb",
    "SeamPicture",
    "area_chart",
    "class_image",
    "confusion_image",
    "contact_sheet",
    "detection_mask",
    "difference_image",
    "enlarge",
    "error_image",
    "error_mask",
    "legend_image",
    "png_bytes",
    "read_curves",
    "reliability_image",
    "rgb_bands",
    "rgb_image",
    "scale_image",
    "seam_image",
    "selective_image",
    "side_by_side",
    "split_map_image",
    "value_image",
]
