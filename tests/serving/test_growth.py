"""How the time of a step grows with its batch: what a search over batches rests on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.batches import filled_below
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import TRANSPORTS

MODELS = Catalogue().ids("model")


def _systems() -> list[str]:
    found = []
    for name in Catalogue().ids("system"):
        try:
            system = load_system(name)
        except InputError:  # known but incomplete
            continue
        if "bf16" in system.accelerator.peak_flop_per_s:
            found.append(name)
    return found


SYSTEMS = _systems()
BATCHES = np.unique(np.concatenate([np.arange(1, 130), np.geomspace(130, 4000, 60).astype(int)]))


@given(
    st.sampled_from(SYSTEMS),
    st.sampled_from(MODELS),
    st.sampled_from(MODES),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(TRANSPORTS),
)
@example("h20", "qwen3-235b-a22b", AFD, 24, 8, "pair")
@settings(max_examples=50, deadline=None)
def test_a_step_grows_with_batch_and_never_faster(  # noqa: PLR0917 - drawn in order
    system: str, model: str, mode: str, senders: int, receivers: int, transport: str
) -> None:
    """A larger batch takes no less time, and no more per sequence: the largest feasible one is the best.

    This is what lets a search over batches stop at the largest; it holds for whole micro-batches. Where cores
    are dealt out to processors in whole waves (`grains`), a sequence that begins one costs more than its
    share: there the least per sequence up to any batch is at the batch itself, or at one that fills waves,
    and that is what the search looks at besides.
    """
    deployments = Deployments(Scenario(system=system, model=model), mode)
    for m in (1, 2):

        def times_of(batches: np.ndarray, m: int = m) -> np.ndarray:
            deployment = Deployment(
                mode=mode,
                attention_devices=senders,
                ffn_devices=receivers if mode == AFD else None,
                batch=batches * m,
                microbatches=m,
                transport=transport,
            )
            with np.errstate(invalid="ignore"):  # beyond one domain of a system without scale-out
                return np.asarray(deployments.step(deployment).time)

        times = times_of(BATCHES)
        if not np.all(np.isfinite(times)):
            continue
        assert np.all(np.diff(times) >= -1e-9 * times[1:])
        each = times / BATCHES
        if not deployments.grains:
            assert np.all(np.diff(each) <= 1e-9 * each[1:])
            continue
        least = each.copy()  # of a batch, and of those below it that fill whole waves
        for grain in deployments.grains:
            filled = np.maximum(filled_below(BATCHES, grain), 1.0)
            least = np.minimum(least, times_of(filled) / filled)
        assert np.all(least <= np.minimum.accumulate(each) * (1 + 1e-9))


def test_only_parts_with_few_processors_deal_cores_out_in_waves() -> None:
    """The H20, whose 78 processors its table states: 4 cached heads a sequence fill them at 19.5.

    39 of them leave no processor idle.
    """
    grains = {
        name: Deployments(Scenario(system=name, model="qwen3-235b-a22b"), EP).grains
        for name in ("h20", "h800", "b200", "mi300x")
    }
    assert grains == {"h20": (19.5, 39.0), "h800": (), "b200": (), "mi300x": ()}
    latent = Deployments(Scenario(system="h20", model="deepseek-v3"), EP)
    assert latent.grains == (39.0,)  # 128 heads of a latent are two blocks


def test_a_sequence_more_than_whole_waves_costs_more_than_its_share() -> None:
    """On the H20 39 sequences of 4 cached heads fill two waves; one more begins a third, half empty.

    Two tokens of a sequence together, so that computing binds: whole waves are the best of the three.
    """
    scenario = Scenario(system="h20", model="qwen3-235b-a22b", context=65536, accept_length=1.7)
    deployments = Deployments(scenario, EP)
    batches = np.array([38, 39, 40])
    found = {
        item.name: item
        for item in deployments.operators(
            Deployment(mode=EP, attention_devices=24, batch=batches, microbatches=1)
        )
    }
    core = found["core_attention"]
    assert core.arguments["padding"] == pytest.approx([156 / 152, 1.0, 1 / 0.75])
    assert core.time[0] == pytest.approx(core.time[1], rel=1e-12)
    assert core.time[2] / core.time[1] > 1.3
    step = np.asarray(
        deployments.step(Deployment(mode=EP, attention_devices=24, batch=batches, microbatches=1)).time
    )
    assert step[1] / 39 < min(step[0] / 38, step[2] / 40)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["glm-4.5", "qwen3-coder-480b", "qwen3-235b-a22b", "deepseek-v3"])
def test_batches_that_fill_waves_are_the_best_there_are(name: str, mode: str) -> None:
    """On the H20, long contexts and two tokens together: no other batch is better per sequence.

    With 8 cached heads a wave is 9.75 sequences; 9 leave some of its processors idle, 39 none.
    """
    deployments = Deployments(Scenario(system="h20", model=name, context=131_072, accept_length=1.7), mode)
    batches = np.arange(1.0, 400.0)

    def each_of(batch: np.ndarray) -> np.ndarray:
        deployment = Deployment(
            mode=mode,
            attention_devices=8,
            ffn_devices=8 if mode == AFD else None,
            batch=batch,
            microbatches=1,
        )
        times: np.ndarray = np.asarray(deployments.step(deployment).time) / batch
        return times

    each = each_of(batches)
    assert np.any(np.diff(each) > 1e-6 * each[1:])  # a wave begun costs more than its share
    filled = [each_of(np.maximum(filled_below(batches, grain), 1.0)) for grain in deployments.grains]
    assert np.all(np.min([each, *filled], axis=0) <= np.minimum.accumulate(each) * (1 + 1e-9))
