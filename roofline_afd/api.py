"""The Python API: each analysis as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.bounds.questions import Imbalance, Rooflines
from roofline_afd.analysis.decode.questions import Comparison, Prediction, WhatIf
from roofline_afd.analysis.deploy.questions import Launch
from roofline_afd.analysis.purchase.questions import Purchase, Report, Sensitivity
from roofline_afd.analysis.requests.questions import Exploration, Provisioning, Simulation, UnderLoad
from roofline_afd.analysis.sweep.questions import Sweep
from roofline_afd.errors import naming_arguments
from roofline_afd.questions import asks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import ArrayLike

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.serving.scenario import Scenario


@asks(Rooflines)
def roofline(question: Rooflines) -> pd.DataFrame:
    """Answer where adding FFN nodes stops helping, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `roofline --format json`; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If a node count or the scenario is out of bounds.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> table = roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=[2, 8])
    >>> table["hfu"].round(3).tolist()
    [0.331, 0.103]
    >>> arrays = {"scale_out_gb_per_s": [25, 50, 100], "tpot_ms": 50}
    >>> table = roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=8, arrays=arrays)
    >>> table["hfu"].round(3).tolist()
    [0.052, 0.103, 0.207]
    """
    if question.arrays is not None:
        from roofline_afd.analysis.sweep.elementwise import elementwise

        arrays = {"ffn_nodes": question.ffn_nodes, **question.arrays}
        return elementwise("roofline", question.scenario, arrays).frame()
    from roofline_afd.analysis.bounds.roofline import roofline as analyse

    return analyse(question).frame()


@asks(Prediction)
def predict(question: Prediction) -> pd.DataFrame:
    """Answer what one deployment reaches, as a table of one row.

    Returns
    -------
    pandas.DataFrame
        The keys of `predict --format json`; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If devices or batch are missing.
    InfeasibleError
        If it does not fit memory, or misses a latency target that was given.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> pair = Scenario(system="h800", model="deepseek-v3", attention_devices=64, ffn_devices=16, batch=64)
    >>> predict(pair)["mode"].tolist()
    ['afd']
    """
    from roofline_afd.analysis.decode.predict import predict as analyse

    return analyse(question).frame()


@naming_arguments()
def predict_ep(
    scenario: Scenario,
    *,
    largest_batch: bool = False,
    largest_context: bool = False,
    arrays: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Answer what one expert-parallel deployment reaches, as `predict` does with `mode="ep"`.

    Parameters
    ----------
    scenario : Scenario
        The question, with `devices` and `batch`.
    largest_batch : bool
        Take the largest batch that memory holds, and a latency target that is given allows.
    largest_context : bool
        Take the longest context that memory holds the batch with.
    arrays : mapping of str to array-like of float, optional
        Inputs by name, options or catalogue keys, in their units: they broadcast against each other, with a
        row for each element.

    Returns
    -------
    pandas.DataFrame
        As of `predict`, which says what it raises; of arrays the metrics of a sweep, blank where infeasible.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> table = predict_ep(Scenario(system="h800", model="deepseek-v3", devices=128, batch=128))
    >>> table["binding"].tolist()
    ['compute']
    >>> question = Scenario(system="h800", model="deepseek-v3", devices=128)
    >>> predict_ep(question, arrays={"batch": [1, 128]})["tpot_ms"].round(1).tolist()
    [16.9, 59.5]
    """
    if arrays is not None:
        return _at_each(scenario, "ep", arrays, largest=largest_batch or largest_context)
    from roofline_afd.analysis.decode.predict import predict_ep as analyse

    return analyse(scenario, largest_batch=largest_batch, largest_context=largest_context).frame()


@naming_arguments()
def predict_afd(
    scenario: Scenario,
    *,
    largest_batch: bool = False,
    largest_context: bool = False,
    arrays: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Answer what one deployment of two groups reaches, as `predict` does with `mode="afd"`.

    Parameters
    ----------
    scenario : Scenario
        The question, with `attention_devices`, `ffn_devices` and `batch`.
    largest_batch : bool
        Take the largest batch that memory holds, and a latency target that is given allows.
    largest_context : bool
        Take the longest context that memory holds the batch with.
    arrays : mapping of str to array-like of float, optional
        Inputs by name, options or catalogue keys, in their units: they broadcast against each other, with a
        row for each element.

    Returns
    -------
    pandas.DataFrame
        As of `predict`, which says what it raises; of arrays the metrics of a sweep, blank where infeasible.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> pair = Scenario(system="h800", model="deepseek-v3", attention_devices=64, ffn_devices=16, batch=64)
    >>> predict_afd(pair)["n_ffn_devices"].tolist()
    [16]
    """
    if arrays is not None:
        return _at_each(scenario, "afd", arrays, largest=largest_batch or largest_context)
    from roofline_afd.analysis.decode.predict import predict_afd as analyse

    return analyse(scenario, largest_batch=largest_batch, largest_context=largest_context).frame()


def _at_each(
    scenario: Scenario, mode: str, arrays: Mapping[str, ArrayLike], *, largest: bool
) -> pd.DataFrame:
    """Return predictions at each element of arrays."""
    from roofline_afd.analysis.sweep.elementwise import elementwise
    from roofline_afd.errors import InputError

    if largest:
        raise InputError("arrays and largest_batch or largest_context exclude each other: see largest_batch")
    return elementwise("predict", scenario, arrays, mode=mode).frame()


@asks(Comparison)
def compare(question: Comparison) -> pd.DataFrame:
    """Answer whether expert parallelism or disaggregation serves more tokens per device, as a table.

    Returns
    -------
    pandas.DataFrame
        A row per mode with the keys of `compare --format json`; `attrs["summary"]` holds `winner`,
        `afd_over_ep` with its 80 % interval, `probability_afd_wins` and `reason`.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If neither mode has a feasible deployment.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> compare(Scenario(system="h800", model="deepseek-v3", tpot_ms=50)).attrs["summary"]["winner"]
    'ep'
    """
    from roofline_afd.analysis.decode.compare import compare as analyse

    return analyse(question.scenario, levers=question.levers).frame()


@asks(WhatIf)
def what_if(question: WhatIf) -> pd.DataFrame:
    """Answer what changed inputs do to the best deployments of both modes, as a table.

    Returns
    -------
    pandas.DataFrame
        A row per metric; `attrs["summary"]` holds winners, how sure they are and bindings, before and after,
        and the break-even.

    Raises
    ------
    InputError
        If nothing changes, or a key or value is not valid.
    InfeasibleError
        If nothing is feasible before or after.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> table = what_if(Scenario(system="h800", model="deepseek-v3", max_devices=64), {"tpot_ms": 80})
    >>> table.attrs["summary"]["winner_flips"]
    False
    """
    from roofline_afd.analysis.decode.what_if import what_if as analyse

    return analyse(question).frame()


@asks(Sensitivity)
def sensitivity(question: Sensitivity) -> pd.DataFrame:
    """Answer which uncertain inputs move the comparison of EP and AFD, as a table.

    Returns
    -------
    pandas.DataFrame
        A row per input, those that move the metric most first; `attrs["summary"]` holds `winner`,
        `probability_afd_wins` as of `compare`, `intervals` and `nearest_break_even`.

    Raises
    ------
    InputError
        If a key is unknown, or a range is none.
    InfeasibleError
        If nothing is feasible, or the metric has no value.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="h800", model="deepseek-v3", devices=32, batch=64, tensor_parallel=1)
    >>> table = sensitivity(scenario, samples=0, uncertainty={"context": "50%"})
    >>> table["input"].iloc[0]
    'context'
    >>> table[["low", "high"]].iloc[0].tolist()
    [2048.0, 6144.0]
    """
    from roofline_afd.analysis.purchase.sensitivity import sensitivity as analyse

    return analyse(question).frame()


@asks(Imbalance)
def imbalance(question: Imbalance) -> pd.DataFrame:
    """Answer what uneven loads cost both modes, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `imbalance --format json`; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If a value is out of bounds, or not exactly one of `sigma`, `expert_counts` and `zipf` is given.

    Examples
    --------
    >>> table = imbalance(sigma=[0.9], attention_nodes=3, ffn_nodes=1)
    >>> table[["alpha_ep", "alpha_afd"]].round(4).values.tolist()
    [[0.973, 0.9]]
    """
    from roofline_afd.analysis.bounds.imbalance import imbalance as analyse

    return analyse(question).frame()


@asks(Provisioning)
def provision(question: Provisioning) -> pd.DataFrame:
    """Answer how many attention instances an FFN instance needs for requests of random lengths, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `provision --format json`; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If a value is out of bounds, or two sources contradict each other.
    InfeasibleError
        If no ratio meets the latency target or fits memory.

    Examples
    --------
    >>> table = provision(coefficients=(0.00165, 50, 0.083, 100, 0.022, 20), layers=61, batch=256,
    ...                   prompt_mean=100, decode_mean=500)
    >>> table["recommended_ratio"][0], round(float(table["r_star"][0]), 4)
    ('8A1F', 9.5547)
    """
    from roofline_afd.analysis.requests.provisioning import provision as analyse

    return analyse(question).frame()


@asks(Simulation)
def simulate(question: Simulation) -> pd.DataFrame:
    """Answer what each ratio of attention to FFN instances delivers, by simulation, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `simulate --format json`; `attrs["summary"]` holds `best_r`.

    Raises
    ------
    InputError
        If a value is out of bounds, or two sources contradict each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.

    Examples
    --------
    >>> table = simulate(coefficients=(0.00165, 50, 0.083, 100, 0.022, 20), layers=61, batch=64,
    ...                  prompt_mean=100, decode_mean=50, r=[1, 2], requests=500, replications=2)
    >>> table["r"].tolist()
    [1, 2]
    """
    from roofline_afd.analysis.requests.simulate import simulate as analyse

    return analyse(question).frame()


@asks(Simulation)
def simulate_series(question: Simulation) -> pd.DataFrame:
    """Tell how the first replication of each ratio went over time, as a table.

    Returns
    -------
    pandas.DataFrame
        The columns of `simulate --series`: a row per ratio and interval of steps.

    Raises
    ------
    InputError
        If a value is out of bounds, or two sources contradict each other.
    InfeasibleError
        If memory, devices or the latency target leave no ratio.

    Examples
    --------
    >>> table = simulate_series(coefficients=(0.00165, 50, 0.083, 100, 0.022, 20), layers=61, batch=64,
    ...                         prompt_mean=100, decode_mean=50, r=[1], requests=500, replications=2)
    >>> bool(table["time_s"].is_monotonic_increasing)
    True
    """
    import pandas as pd  # 250 ms, only for those who want a table

    from roofline_afd.analysis.requests.simulate import simulated

    return pd.DataFrame(simulated(question).series)


@asks(Exploration)
def explore(question: Exploration) -> pd.DataFrame:
    """Answer which serving mode gives most tokens under limits on the first and every next one, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `explore --format json`: the frontier of each mode; `attrs["summary"]` holds
        `best_under_slo` and `probability_afd_wins`.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no mode has a feasible deployment.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="b200", model="gpt-oss-120b", devices=8)
    >>> table = explore(scenario, workload="chat", modes=["agg", "pd"])
    >>> sorted(set(table["mode"]))
    ['agg', 'pd']
    """
    from roofline_afd.analysis.requests.explore import explore as analyse

    return analyse(question).frame()


@asks(UnderLoad)
def load(question: UnderLoad) -> pd.DataFrame:
    """Answer what requests see that come to a deployment at one rate after another, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `load --format json`: percentiles, goodput, cost; `attrs["summary"]` holds `deployment`
        and `highest_good_rate`.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no deployment meets the limits without waiting.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="b200", model="gpt-oss-20b", devices=4, tpot_ms=30)
    >>> table = load(scenario, mode="pd", isl=512, osl=64, rates=[5, 50])
    >>> bool(table["ttft_p95_ms"].iloc[0] <= table["ttft_p99_ms"].iloc[0])
    True
    """
    from roofline_afd.analysis.requests.under_load import under_load as analyse

    return analyse(question).frame()


@asks(Launch)
def deploy(question: Launch) -> pd.DataFrame:
    """Answer how a deployment is launched, and what to watch of it, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `deploy --format json`: a row for each quantity to watch; `attrs["summary"]` holds `files`
        by name, `settings`, and what they leave out as `unexpressed` and `left_to_you`.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no deployment that the software runs is feasible.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="h200", model="deepseek-v3", devices=16, batch=32)
    >>> files = deploy(scenario, target="sglang").attrs["summary"]["files"]
    >>> "--tp-size 16" in files["serve.sh"]
    True
    """
    from roofline_afd.analysis.deploy.deploy import deploy as analyse

    return analyse(question).frame()


@naming_arguments()
def deploy_answer(answer: Answer | Path, *, target: str, mode: str | None = None) -> pd.DataFrame:
    """Answer how the deployment of a kept answer is launched, as `deploy` does.

    Parameters
    ----------
    answer : Answer or Path
        Answer of predict, compare or explore: as `read_answer` returns it, or its file of JSON.
    target : str
        Software that the files are for.
    mode : str, optional
        Mode of the deployment; the best that the software runs where absent.

    Returns
    -------
    pandas.DataFrame
        As of `deploy`.

    Raises
    ------
    InputError
        If the answer cannot be read, or holds no deployment that the software runs.
    """
    from roofline_afd.analysis.deploy.deploy import deploy as analyse
    from roofline_afd.analysis.kept import answer_of, scenario_of

    kept = answer_of(answer)
    return analyse(Launch(scenario_of(kept), target=target, mode=mode, answer=kept)).frame()


@asks(Purchase)
def procure(question: Purchase) -> pd.DataFrame:
    """Answer what each candidate system costs to serve a demand, as a table.

    Returns
    -------
    pandas.DataFrame
        The keys of `procure --format json`, cheapest first; `attrs` holds `summary`, `inputs` and `notes`.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no candidate serves the demand.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> candidates = [Scenario(system=name, model="deepseek-v3") for name in ("b200", "h200")]
    >>> procure(candidates, demand=100_000)["system"].iloc[0]
    'b200'
    """
    from roofline_afd.analysis.purchase.services import procure as analyse

    return analyse(question).frame()


@asks(Sweep)
def sweep(question: Sweep) -> pd.DataFrame:
    """Answer every combination of values on some axes, as a table, or to a file.

    Returns
    -------
    pandas.DataFrame
        A row for each point: axes and metrics; what a reduction keeps; none where rows go to `file`.
        `attrs["summary"]` holds how many points there were.

    Raises
    ------
    InputError
        If an axis or a metric is unknown, there are too many points, or a file cannot be written.

    Examples
    --------
    >>> from roofline_afd import Scenario
    >>> scenario = Scenario(system="h800", model="deepseek-v3")
    >>> axes = {"ffn_nodes": range(1, 41), "scale_out_gb_per_s": [25, 50, 100]}
    >>> best = sweep(scenario, axes=axes, of="roofline", reduce="best:hfu")
    >>> int(best["ffn_nodes"].iloc[0]), float(best["scale_out_gb_per_s"].iloc[0])
    (2, 50.0)
    """
    from roofline_afd.analysis.sweep.sweep import sweep as analyse

    return analyse(question).frame()


@asks(Report)
def report(question: Report) -> bytes:
    """Return a self-contained html page about which system to buy for a model and a demand, and why.

    Returns
    -------
    bytes
        The page; it needs no network.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no candidate serves the demand.
    """
    from roofline_afd.reporting.page import report as make

    return make(question)
