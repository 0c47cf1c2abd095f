"""The command line: one small file per command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from roofline_afd.errors import InfeasibleError, RooflineAfdError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "roofline-afd"
NO, BAD_USAGE, INTERNAL_ERROR, INTERRUPTED = 1, 2, 70, 130


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program name; that of the process by default.

    Returns
    -------
    int
        0 answered, 1 the answer is "no", 2 bad usage; 70 a fault of the program, 130 interrupted.
    """
    import typer  # keeps the import of the package itself light

    from roofline_afd.cli.app import app

    click_error = typer.BadParameter.__mro__[2]  # the base of every usage error
    try:
        status = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except RooflineAfdError as error:
        _say(str(error))
        return NO if isinstance(error, InfeasibleError) else BAD_USAGE
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, click_error):
            message = error.format_message()  # type: ignore[attr-defined]  # typer keeps the class private
            _say(message)
            return BAD_USAGE
        if os.environ.get("ROOFLINE_AFD_DEBUG"):
            raise
        _say(f"a fault of this program, please report it: {type(error).__name__}: {error}")
        return INTERNAL_ERROR
    return status if isinstance(status, int) else 0


def _say(message: str) -> None:
    """Print an error as one line that no hostile text can break or colour."""
    line = " ".join(message.split())
    safe = "".join(char if char.isprintable() else "?" for char in line)
    print(f"{PROGRAM}: error: {safe}", file=sys.stderr)  # noqa: T201


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run())
