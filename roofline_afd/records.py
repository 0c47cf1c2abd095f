"""The Python API of what is known: the catalogues, what words mean, and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roofline_afd.errors import InputError, naming_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.serving.scenario import Scenario

OWN = {
    "--vendor": "vendor",
    "--class": "network",
    "--sort": "sort",
    "--holds": "holds",
    "--assume-format": "assume_format",
}
"""Options of these commands by the argument each is here."""


@naming_arguments(OWN)
def list_hardware(
    name: str | None = None,
    *,
    kind: str = "system",
    vendor: str | None = None,
    network: str | None = None,
    least: Mapping[str, float] | None = None,
    sort: str | None = None,
    holds: str | None = None,
    engine: str | None = None,
    context: int | None = None,
    catalogue: Catalogue | None = None,
) -> pd.DataFrame:
    """List the systems one can buy, or their parts, as a table.

    Parameters
    ----------
    name : str, optional
        Only records whose id or name holds this.
    kind : str
        `system`, `accelerator`, `interconnect`, `calibration`, `engine` or `library`.
    vendor : str, optional
        Only of vendors whose name holds this.
    network : str, optional
        Only systems whose scale-up domain holds both sides (`superpod`), or not (`scale-out`).
    least : mapping of str to float, optional
        Only records whose value of a key is known and at least so large, in the key's unit.
    sort : str, optional
        Key to sort by; with a minus before it the largest first.
    holds : str, optional
        Model: only systems that hold it at its default formats, with the devices that takes.
    engine : str, optional
        Software that plans with the memory, with `holds`; `ideal` where absent.
    context : int, optional
        Tokens of the sequence held besides, with `holds`; 4096 where absent [1].
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    pandas.DataFrame
        The keys of `hardware list --format json`: a row per record.

    Raises
    ------
    InputError
        If the kind or a filter is unknown, or a record is faulty.
    InfeasibleError
        If nothing passes the filters; names what comes nearest.

    Examples
    --------
    >>> list_hardware(network="superpod", least={"memory_gb": 280}, sort="-memory_gb")["id"].iloc[0]
    'helios'
    """
    from roofline_afd.analysis.listing.holds import held_of
    from roofline_afd.analysis.listing.list import Choose
    from roofline_afd.analysis.listing.list import list_hardware as analyse
    from roofline_afd.catalogue.store import Catalogue

    catalogue = catalogue or Catalogue()
    choose = Choose(name=name, vendor=vendor, network=network, least=least or {}, sort=sort)
    held = held_of(catalogue, holds, engine=engine, context=context)
    return analyse(catalogue, kind=kind, choose=choose, holds=held).frame()


@naming_arguments(OWN)
def show_hardware(*ids: str, kind: str | None = None, catalogue: Catalogue | None = None) -> pd.DataFrame:
    """Show everything known of systems, their parts, engines or libraries, as a table.

    Parameters
    ----------
    *ids : str
        What is shown, a row each.
    kind : str, optional
        Which of them, where several share an id.
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    pandas.DataFrame
        The keys of `hardware show --format json`: each value, and its unit, kind, source, note, record and
        file under the key with that ending.

    Raises
    ------
    InputError
        If an id or the kind is unknown.

    Examples
    --------
    >>> show_hardware("h800")[["memory_gb", "memory_gb_unit", "memory_gb_kind"]].values.tolist()
    [[80, 'GB', 'reported']]
    """
    from roofline_afd.analysis.listing.show import show_hardware as analyse
    from roofline_afd.catalogue.store import Catalogue

    return analyse(catalogue or Catalogue(), ids, kind=kind).frame()


@naming_arguments(OWN)
def validate_hardware(hardware_db: Sequence[str | Path] = ()) -> pd.DataFrame:
    """Check every hardware record, shipped and one's own, as a table.

    Parameters
    ----------
    hardware_db : sequence of path
        Files or folders of records laid over the catalogue.

    Returns
    -------
    pandas.DataFrame
        The keys of `hardware validate --format json`; `attrs["summary"]` holds how many are `faulty`.

    Raises
    ------
    InputError
        If a path cannot be read.

    Examples
    --------
    >>> validate_hardware().attrs["summary"]["faulty"]
    0
    """
    from roofline_afd.analysis.listing.validate import validate_hardware as analyse
    from roofline_afd.catalogue.store import Catalogue

    return analyse(Catalogue(hardware_db, collect_faults=True)).frame()


@naming_arguments(OWN)
def list_models(
    name: str | None = None,
    *,
    vendor: str | None = None,
    least: Mapping[str, float] | None = None,
    sort: str | None = None,
    catalogue: Catalogue | None = None,
) -> pd.DataFrame:
    """List the models, with parameters and cache bytes counted from the shape, as a table.

    Parameters
    ----------
    name : str, optional
        Only models whose id or name holds this.
    vendor : str, optional
        Only of vendors whose name holds this.
    least : mapping of str to float, optional
        Only models whose value of a key is known and at least so large, in the key's unit.
    sort : str, optional
        Key to sort by; with a minus before it the largest first.
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    pandas.DataFrame
        The keys of `models list --format json`: a row per model.

    Raises
    ------
    InputError
        If a filter is unknown or a record is faulty.
    InfeasibleError
        If nothing passes the filters; names what comes nearest.

    Examples
    --------
    >>> table = list_models(vendor="deepseek", sort="total_params")
    >>> bool(table["total_params"].is_monotonic_increasing)
    True
    """
    from roofline_afd.analysis.listing.list import Choose
    from roofline_afd.analysis.listing.list import list_models as analyse
    from roofline_afd.catalogue.store import Catalogue

    choose = Choose(name=name, vendor=vendor, least=least or {}, sort=sort)
    return analyse(catalogue or Catalogue(), choose=choose).frame()


@naming_arguments(OWN)
def show_models(*ids: str, catalogue: Catalogue | None = None) -> pd.DataFrame:
    """Show everything known of models, as a table.

    Parameters
    ----------
    *ids : str
        Ids or aliases, a row each.
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    pandas.DataFrame
        The keys of `models show --format json`, as of `show_hardware`.

    Raises
    ------
    InputError
        If an id is unknown.

    Examples
    --------
    >>> show_models("deepseek-v3", "kimi-k2")["routed_experts"].tolist()
    [256, 384]
    """
    from roofline_afd.analysis.listing.show import show_models as analyse
    from roofline_afd.catalogue.store import Catalogue

    return analyse(catalogue or Catalogue(), ids).frame()


@naming_arguments(OWN)
def validate_models(model_db: Sequence[str | Path] = ()) -> pd.DataFrame:
    """Check every model record, shipped and one's own, as a table.

    Parameters
    ----------
    model_db : sequence of path
        Files or folders of records laid over the catalogue.

    Returns
    -------
    pandas.DataFrame
        The keys of `models validate --format json`; `attrs["summary"]` holds how many are `faulty`.

    Raises
    ------
    InputError
        If a path cannot be read.

    Examples
    --------
    >>> validate_models().attrs["summary"]["faulty"]
    0
    """
    from roofline_afd.analysis.listing.validate import validate_models as analyse
    from roofline_afd.catalogue.store import Catalogue

    return analyse(Catalogue((), model_db, collect_faults=True)).frame()


@naming_arguments(OWN)
def import_model(
    config: str | Path,
    *,
    model_id: str | None = None,
    vendor: str = "unknown",
    assume_format: str | None = None,
) -> pd.DataFrame:
    """Turn a Hugging Face `config.json` into a model record, as a table of what it says.

    Parameters
    ----------
    config : path
        The file; it is only parsed. An `hf_quant_config.json` beside it is read too.
    model_id : str, optional
        Id of the record; the model_type of the configuration where absent.
    vendor : str
        Who made the model.
    assume_format : str, optional
        Format of weights whose own is not known, or not stated: bf16, fp8, mxfp4, nvfp4, int8 or int4.

    Returns
    -------
    pandas.DataFrame
        The keys of `models import --format json`; `attrs["summary"]["record"]` is the record: text for a
        file ID.toml, which `Catalogue(model_db=[...])` reads.

    Raises
    ------
    InputError
        If the file is broken, dense, of an unknown family, or has fields that are unknown or contradictory.

    Examples
    --------
    >>> import json, tempfile
    >>> from roofline_afd import Catalogue, Scenario, load_model
    >>> shape = dict(model_type="mixtral", hidden_size=4096, num_hidden_layers=32, num_attention_heads=32,
    ...              num_key_value_heads=8, num_local_experts=8, num_experts_per_tok=2,
    ...              intermediate_size=14336, vocab_size=32000, max_position_embeddings=32768)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "config.json").write_text(json.dumps(shape))
    ...     table = import_model(Path(folder) / "config.json", model_id="mine")
    ...     _ = (Path(folder) / "mine.toml").write_text(table.attrs["summary"]["record"])
    ...     model = load_model("mine", catalogue=Catalogue(model_db=[Path(folder) / "mine.toml"]))
    >>> Scenario(system="h800", model=model).model.routed_experts
    8
    """
    from roofline_afd.analysis.listing.show import imported_model
    from roofline_afd.catalogue.huggingface.files import config_files
    from roofline_afd.catalogue.huggingface.importing import read_config
    from roofline_afd.catalogue.huggingface.quantization import FORMATS
    from roofline_afd.serving.checks import choice

    if assume_format is not None:
        choice("--assume-format", assume_format, FORMATS)
    text, beside = config_files(Path(config))
    found = read_config(text, model_id=model_id, vendor=vendor, beside=beside, assumed=assume_format)
    return imported_model(found).frame()


@naming_arguments(OWN)
def explain(
    term: str,
    scenario: Scenario | None = None,
    *,
    ffn_nodes: int = 8,
    batch: int = 128,
    context: int = 4096,
) -> pd.DataFrame:
    """Explain a quantity: its formula with symbols, units and reference, as a table of the symbols.

    Parameters
    ----------
    term : str
        A term, a result key or a symbol.
    scenario : Scenario, optional
        Whose numbers are put in.
    ffn_nodes : int
        FFN nodes to put in [1].
    batch, context : int
        Sequences of a device and tokens cached of each to put in [1].

    Returns
    -------
    pandas.DataFrame
        A row per symbol; `attrs["summary"]` holds `formula`, `unit`, `value`, `reference` and `answer`.

    Raises
    ------
    InputError
        If the term is unknown or the scenario is out of bounds.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> explain("stage_budget", Scenario(system="h800", model="deepseek-v3")).attrs["summary"]["formula"]
    't_B = (TPOT * a - t_g) / (L * m)'
    """
    from roofline_afd.analysis.listing.explain import explain as analyse

    return analyse(term, scenario, ffn_nodes=ffn_nodes, batch=batch, context=context).frame()


@naming_arguments(OWN)
def calibrate(files: Sequence[str | Path], *, catalogue: Catalogue | None = None) -> pd.DataFrame:
    """Fit the efficiencies of operators and links to measured times, as a table of errors.

    Parameters
    ----------
    files : sequence of path
        CSV files of measured operator and transfer times (`hardware_db/README.md`).
    catalogue : Catalogue, optional
        Its records say which parts are pooled; the shipped one with the user's overlays by default.

    Returns
    -------
    pandas.DataFrame
        The keys of `calibrate --format json`; `attrs["summary"]["records"]` holds the records by id: each
        text for a file ID.toml, which `Catalogue(hardware_db=[...])` reads.

    Raises
    ------
    InputError
        If a file cannot be read, a row of it is faulty, or nothing can be fitted.

    Examples
    --------
    >>> calibrate([])
    Traceback (most recent call last):
    roofline_afd.errors.InputError: nothing to calibrate: give files of measured times
    """
    from roofline_afd.analysis.evidence.operators.calibrate import calibrate as analyse
    from roofline_afd.analysis.evidence.operators.rows import read_measurements
    from roofline_afd.catalogue.store import Catalogue

    if not files:
        raise InputError("nothing to calibrate: give files of measured times")
    catalogue = catalogue or Catalogue()
    rows = read_measurements([Path(file) for file in files], catalogue=catalogue)
    records, answer = analyse(rows, catalogue=catalogue)
    frame = answer.frame()
    frame.attrs["summary"] = {**answer.summary, "records": records}
    return frame


@naming_arguments(OWN)
def validate(
    files: Sequence[str | Path] = (),
    *,
    operators: Sequence[str | Path] = (),
    serving_points: Sequence[str | Path] = (),
    catalogue: Catalogue | None = None,
) -> pd.DataFrame:
    """Say how far predictions are from measurements, as a table.

    Parameters
    ----------
    files : sequence of path
        CSV files of measured services (`hardware_db/measurements/README.md`); those shipped where there are
        none.
    operators : sequence of path
        CSV files of measured operator and transfer times, to predict instead of services.
    serving_points : sequence of path
        CSV files of published points of serving, by concurrency or of prompts alone, to predict instead.
    catalogue : Catalogue, optional
        Where systems, models and their calibration are looked up; the shipped one with the user's overlays by
        default.

    Returns
    -------
    pandas.DataFrame
        The keys of `validate --format json`; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If a file cannot be read, a row of it is faulty, or both operators and points are given.

    Examples
    --------
    >>> validate().attrs["summary"]["median_abs_error"] < 0.1
    True
    """
    from roofline_afd.analysis.evidence.operators.rows import read_measurements
    from roofline_afd.analysis.evidence.operators.validate import validate_operators
    from roofline_afd.analysis.evidence.points.rows import read_points, shipped_points
    from roofline_afd.analysis.evidence.points.validate import validate_points, with_prefill
    from roofline_afd.analysis.evidence.services.rows import read_services, shipped_services
    from roofline_afd.analysis.evidence.services.validate import validate_services
    from roofline_afd.catalogue.store import Catalogue

    catalogue = catalogue or Catalogue()
    if serving_points:
        if operators:
            raise InputError("serving_points and operators are two questions: ask one at a time")
        points = read_points([Path(file) for file in (*serving_points, *files)], catalogue=catalogue)
        return validate_points(points).frame()
    if operators:
        rows = read_measurements([Path(file) for file in (*operators, *files)], catalogue=catalogue)
        return validate_operators(rows, catalogue=catalogue).frame()
    if files:
        measured = read_services([Path(file) for file in files], catalogue=catalogue)
        return validate_services(measured, catalogue=catalogue).frame()
    found = validate_services(shipped_services(catalogue), catalogue=catalogue)
    return with_prefill(found, shipped_points(catalogue)).frame()
