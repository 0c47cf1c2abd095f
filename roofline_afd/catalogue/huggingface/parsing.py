"""JSON of a `config.json` parsed strictly: every way in which a file can be broken is one line."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from roofline_afd.catalogue.huggingface.fields import refuse
from roofline_afd.errors import InputError, shown

MAX_CONFIG_BYTES = 16_000_000
MAX_DIGITS = 20


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
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        data = json.loads(decoded, parse_constant=_constant, parse_int=_whole, object_pairs_hook=_object)
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError("config.json: is not UTF-8 text") from error
    except RecursionError as error:
        raise InputError("config.json: is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"config.json: is not valid JSON: {str(error)[:120]}") from error
    if not isinstance(data, dict):
        refuse(f"is a JSON {type(data).__name__}, not an object")
    return data


def _constant(text: str) -> float:
    """Let infinities pass, which shipped files hold in fields that nobody reads; never NaN."""
    if text == "NaN":
        refuse("holds NaN, which is no JSON number")
    return float(text)


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        refuse(f"holds an integer of {len(text)} digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
    if twice:
        refuse(f"field {shown(twice[0])} is given twice")
    return dict(pairs)
