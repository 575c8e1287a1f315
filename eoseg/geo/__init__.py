"""Where pixels are, how they are read and how they are written. Numpy and rasterio, no torch."""
