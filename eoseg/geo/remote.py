"""Rasters that are not on this machine: what their addresses mean, and what may be wrong with them.

GDAL reads them in parts, through its virtual file systems. Credentials come from where GDAL and boto3 look
for them, such as AWS_PROFILE; eoseg neither asks for them nor turns signing off.
"""

import re
from pathlib import Path

_SCHEMES = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}
_PREFIXES = (
    *(f"{scheme}://" for scheme in _SCHEMES),
    *("/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/", "/vsiadls/", "/vsioss/", "/vsiswift/"),
)

_ABSENT = re.compile(r"\b404\b|NotFound|NoSuchKey|NoSuchBucket|does not exist")
_REFUSED = re.compile(
    r"\b40[13]\b|credentials|access ?denied|forbidden|expired|access ?key|invalidtoken|signature",
    re.IGNORECASE,
)
_UNREACHED = re.compile(r"CURL|timed out|\b5\d\d\b|resolve host|connect", re.IGNORECASE)

_WHERE_TO_LOOK = {
    "/vsis3/": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE (for a public "
    "bucket AWS_NO_SIGN_REQUEST=YES)",
    "/vsigs/": "GOOGLE_APPLICATION_CREDENTIALS (for a public bucket GS_NO_SIGN_REQUEST=YES)",
    "/vsiaz/": "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN",
    "/vsicurl/": "the signature at the end of the address, GDAL_HTTP_USERPWD or GDAL_HTTP_HEADERS",
}


def is_remote(path: str) -> bool:
    """Whether a path is an address such as https:// or s3://, also as GDAL writes it."""
    return any(prefix in path for prefix in _PREFIXES)


def may_be_missing(path: str) -> bool:
    """Whether only GDAL can say if there is such a file: an address, or a GDAL path such as /vsizip/."""
    return is_remote(path) or path.startswith("/vsi")


def reads_remotely(path: str) -> bool:
    """Whether reading a raster needs the network: it has an address, or is a VRT over such rasters."""
    if is_remote(path):
        return True
    file = Path(path)
    return file.suffix.lower() == ".vrt" and file.is_file() and is_remote(file.read_text(errors="replace"))


def gdal_path(path: str) -> str:
    """A path as it is written inside a VRT: an address as GDAL has it, a file in full."""
    for scheme, prefix in _SCHEMES.items():
        if path.startswith(f"{scheme}://"):
            return prefix + path.removeprefix(f"{scheme}://")
    return path if path.startswith("/vsi") else str(Path(path).resolve())


def shown(path: str) -> str:
    """A path for messages and for the provenance of maps: an address without what gives access to it."""
    if not is_remote(path):
        return path
    return re.sub(r"//[^/@]*@", "//", path.partition("?")[0])


def address(path: str) -> str:
    """A remote raster as programs other than GDAL name it, without what gives access to it."""
    for scheme, prefix in _SCHEMES.items():
        path = f"{scheme}://{path.removeprefix(prefix)}" if path.startswith(prefix) else path
    return shown(path)


def scene_name(path: str) -> str:
    """The name of a scene's file without its folder, its ending and what follows in an address."""
    return Path(shown(path)).stem


def explain(path: str, message: str) -> str | None:
    """Say in one line why a remote raster cannot be read.

    Args:
        path: Its address.
        message: What GDAL said.

    Returns:
        The line, or None where GDAL's message is about something else than access.
    """
    reason = " ".join(message.split()).partition(". ")[0]
    if _REFUSED.search(reason):
        kind = next((prefix for prefix in _WHERE_TO_LOOK if prefix in gdal_path(path)), "/vsicurl/")
        return (
            f"'{shown(path)}' may not be read ({reason}): credentials are missing, wrong or expired. Look at "
            f"{_WHERE_TO_LOOK[kind]}."
        )
    if _ABSENT.search(reason):
        return f"There is no file '{shown(path)}' ({reason}). Check the address."
    if _UNREACHED.search(reason):
        return (
            f"The server of '{shown(path)}' does not answer as it should ({reason}). Check the address and "
            "the network, then try again."
        )
    return None
