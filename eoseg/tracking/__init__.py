"""Run folders, loggers and the panels of a dashboard."""
