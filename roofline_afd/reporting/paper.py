"""The report on paper: its page as a pdf, through a library that needs no browser."""

from __future__ import annotations

import logging
import re

from roofline_afd.errors import InputError

SCRIPTS = re.compile(rb"<script>.*?</script>", re.DOTALL)
"""What paper does not run."""


def check_paper() -> None:
    """Refuse a pdf, before any work, where what writes it is not installed.

    Raises
    ------
    InputError
        If WeasyPrint, or the Pango library it draws letters with, is missing.
    """
    try:
        import weasyprint  # noqa: F401 - an extra
    except ImportError as error:
        raise InputError(
            "a pdf needs weasyprint: pip install 'roofline-afd[pdf]', or write .html and print it"
        ) from error
    except OSError as error:
        raise InputError(
            "a pdf needs the Pango library (of Debian: libpango-1.0-0 and libpangoft2-1.0-0), "
            "or write .html and print it"
        ) from error


def as_pdf(page: bytes) -> bytes:
    """Return a page as a pdf of A4, its pictures as lines and letters.

    Parameters
    ----------
    page : bytes
        A self-contained html page: nothing is loaded from elsewhere.

    Returns
    -------
    bytes
        The content of a file.

    Raises
    ------
    InputError
        If what writes it is not installed.
    """
    check_paper()
    from weasyprint import HTML  # an extra
    from weasyprint.urls import URLFetcher

    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # rules of screens, which it says it skips
    fetcher = URLFetcher(allowed_protocols=["data"])
    paper = HTML(string=SCRIPTS.sub(b"", page).decode(), url_fetcher=fetcher)
    written: bytes = paper.write_pdf()
    return written
