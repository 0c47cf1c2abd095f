"""Where the parts of a sweep are kept until it is whole, and the file that they become."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from typing import TYPE_CHECKING

from roofline_afd.analysis.sweep.work import CSV, PARQUET
from roofline_afd.documents import folder_held
from roofline_afd.errors import InputError, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Self

MARK = "sweep.json"
PARTS = ".parts"
FORMS = {".csv": CSV, ".parquet": PARQUET}


class Store:
    """Parts of a sweep in a folder beside its file, one for each task that is done; one run writes at a time.

    Parameters
    ----------
    output : Path
        The file.
    digest : str
        What tells this sweep from any other.
    resume : bool
        Whether parts that an earlier run left are taken.

    Raises
    ------
    InputError
        If the folder cannot be written, another run writes it, or it holds parts that are not taken or are of
        another sweep.
    """

    def __init__(self, output: Path, digest: str, *, resume: bool) -> None:
        self.output = output
        self.folder = output.with_name(output.name + PARTS)
        self._held = contextlib.ExitStack()
        try:
            self._open(digest, resume=resume)
        except OSError as error:
            self._held.close()
            raise self._unwritable(error) from error
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> Self:
        """Return this store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let other runs write the folder."""
        self._held.close()

    def _open(self, digest: str, *, resume: bool) -> None:
        mark = self.folder / MARK
        self.folder.mkdir(parents=False, exist_ok=True)
        try:
            self._held.enter_context(folder_held(self.folder, wait=False))
        except BlockingIOError as error:
            raise InputError(
                f"{shown_path(self.folder)} is being written by another sweep: wait for it, or give another "
                "--output"
            ) from error
        if not resume and any(self.folder.iterdir()):
            if not mark.is_file():
                raise InputError(f"{shown_path(self.folder)} is no folder of a sweep: remove it")
            done = len(self.done())
            if done:
                raise InputError(
                    f"{shown_path(self.folder)} holds {done:,} finished blocks: go on with --resume, or "
                    "remove it"
                )
            mark.unlink()
        if mark.is_file():
            try:
                held = json.loads(mark.read_text("utf-8"))["sweep"]
            except (ValueError, KeyError, TypeError):
                held = None
            if held != digest:
                raise InputError(
                    f"--resume: {shown_path(self.folder)} is of another sweep: remove it, or "
                    "give another --output"
                )
        else:
            mark.write_text(json.dumps({"sweep": digest}), "utf-8")

    def _unwritable(self, error: OSError) -> InputError:
        done = sum(1 for _ in self.folder.glob("*.part")) if self.folder.is_dir() else 0
        kept = f"; {done:,} finished blocks are kept for --resume" if done else ""
        return InputError(f"{shown_path(self.folder)} cannot be written: {error.strerror or error}{kept}")

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:09d}.part"

    def done(self) -> set[int]:
        """Return the numbers of the tasks whose parts are kept."""
        return {int(path.stem) for path in self.folder.glob("*.part")}

    def keep(self, number: int, part: bytes) -> None:
        """Keep what a task gave: wholly, or not at all; raises InputError where it cannot be."""
        path = self._part(number)
        half = path.with_suffix(".half")
        try:
            half.write_bytes(part)
            half.replace(path)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:  # whatever ends it, an asked for end too
            half.unlink(missing_ok=True)

    def read(self, number: int) -> bytes:
        """Return what a task gave."""
        return self._part(number).read_bytes()

    def assemble(self, form: str, header: Sequence[str], tasks: int) -> None:
        """Make the file of all parts in order, and remove these; raises InputError where it cannot be."""
        half = self.output.with_name(self.output.name + ".half")
        try:
            if form == CSV:
                with half.open("wb") as file:
                    file.write((",".join(header) + "\n").encode())
                    for number in range(tasks):
                        file.write(self.read(number))
            else:
                _parquet(half, (self.read(number) for number in range(tasks)))
            half.replace(self.output)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            half.unlink(missing_ok=True)
        self.drop()

    def drop(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _parquet(file: Path, parts: Iterable[bytes]) -> None:
    """Write Parquet files of one row group each as one, a row group each."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # an extra

    writer = None
    try:
        for part in parts:
            table = pq.read_table(io.BytesIO(part))
            if writer is None:
                writer = pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
