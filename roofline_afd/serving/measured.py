"""Which kernels and links a question runs, and whether any of them was never measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.catalogue.calibration import ESTIMATED, EXPERT_KERNELS, kernels_of, load_calibration
from roofline_afd.serving.timing import operand_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.deployment import Deployments


def kernels_run(deployments: Deployments) -> Iterator[tuple[System, str, str]]:
    """Yield what decoding runs: system of the side, kernel, format of its operands or of its cache.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.

    Yields
    ------
    tuple
        System, kernel, format.
    """
    formats, model = deployments.formats, deployments.scenario.model
    apart = deployments.ffn is not deployments.attention
    for side in (deployments.attention, *((deployments.ffn,) if apart else ())):
        experts = operand_of(side, formats.experts, formats.dispatch)
        forms = {"gemm": operand_of(side, formats.others, formats.others)}
        forms |= dict.fromkeys(EXPERT_KERNELS, experts)
        for kernel in kernels_of(model):
            yield side, kernel, forms.get(kernel, formats.cache)
        yield side, "gemm", "bf16"


def rests_on_estimates(deployments: Deployments) -> bool:
    """Return whether any kernel or link of its parts was never measured, nor on a sibling.

    Parameters
    ----------
    deployments : Deployments
        The question, for one mode.

    Returns
    -------
    bool
        Whether one was not.
    """
    for side in (deployments.attention, deployments.ffn):
        link = load_calibration(side).link
        leaves = side.scale_out is not None and not side.superpod
        if ESTIMATED in (link.kind, link.kind_out if leaves else link.kind):
            return True
    families = deployments.scenario.engine.families
    return any(
        load_calibration(side, families=families).of(kernel, form).evidence == ESTIMATED
        for side, kernel, form in kernels_run(deployments)
    )
