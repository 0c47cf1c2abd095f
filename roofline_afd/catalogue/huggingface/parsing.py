"""JSON of a `config.json` parsed strictly: every way in which a file can be broken is one line."""

from __future__ import annotations

from typing import Any

from roofline_afd.catalogue.huggingface.fields import refuse
from roofline_afd.documents import json_of

MAX_CONFIG_BYTES = 16_000_000


def parse(text: str | bytes) -> dict[str, Any]:
    """Parse a configuration.

    Parameters
    ----------
    text : str or bytes
        The file, UTF-8 where it is bytes.

    Returns
    -------
    dict
        Its fields.

    Raises
    ------
    InputError
        If it is too large, no UTF-8, no JSON object, nested too deeply, or holds a field twice, NaN or an
        integer that no model needs.
    """
    size = len(text)
    if size > MAX_CONFIG_BYTES:
        refuse(f"{size:,} bytes; a configuration has at most {MAX_CONFIG_BYTES:,}")
    # infinities stand in shipped files, in fields that nobody reads
    data = json_of(text, name="config.json", infinite=True)
    if not isinstance(data, dict):
        refuse(f"is a JSON {type(data).__name__}, not an object")
    return data
