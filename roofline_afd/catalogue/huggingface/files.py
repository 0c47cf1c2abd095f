"""A configuration as it lies on the disk, with what stands beside it: read as bytes, up to a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.catalogue.huggingface.parsing import MAX_CONFIG_BYTES
from roofline_afd.documents import file_bytes

if TYPE_CHECKING:
    from pathlib import Path

QUANTISED = "hf_quant_config.json"
"""File beside a configuration that says how weights are quantised, as modelopt writes it."""


def config_files(config: Path) -> tuple[bytes, bytes | None]:
    """Read a configuration, and the file beside it that says how weights are quantised.

    Parameters
    ----------
    config : Path
        A `config.json`.

    Returns
    -------
    tuple of bytes
        At most as much as one may hold and a byte, of each; None where nothing stands beside it.

    Raises
    ------
    InputError
        If a file cannot be read, or is no regular one.
    """
    beside = config.with_name(QUANTISED)
    held = file_bytes(beside, most=MAX_CONFIG_BYTES) if beside.is_file() else None
    return file_bytes(config, most=MAX_CONFIG_BYTES), held
