"""The report of a run: one HTML file that needs no network and nothing beside it."""

from pathlib import Path

from eoseg.evaluate.html import document
from eoseg.files import write_atomically
from eoseg.report.findings import Findings
from eoseg.report.sections import HEADINGS, head, sections


def write_report(path: Path, findings: Findings) -> Path:
    """Write the page; an older file of that name is replaced.

    Args:
        path: The HTML file.
        findings: What is known of the run.

    Raises:
        DataError: A picture cannot be drawn from what a file holds.
        OutputError: The file cannot be written.
    """
    title = f"eoseg report: {findings.run.name}"
    write_atomically(path, document(title, [head(findings), *sections(findings)], contents=HEADINGS))
    return path
