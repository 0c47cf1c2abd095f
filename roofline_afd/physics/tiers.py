"""What a device can use of a fabric that is slower between larger units than within them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics.traffic import domains_used

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike


def tier_share(
    *, devices: FloatLike, inner_devices: FloatLike, outer_devices: FloatLike, share: FloatLike
) -> FloatArray:
    """Return what a device can use where a fabric is slower between larger units, of one tier.

    Parameters
    ----------
    devices
        As in `nomenclature`.
    inner_devices, outer_devices : float or array
        Devices of the next smaller unit, and of this one, D_i and D_o; 1 where there is no smaller one [1].
    share : float or array
        Share of a device's bandwidth that reaches those of its unit that no smaller one holds, s [1].

    Returns
    -------
    float or array
        Share of the bandwidth that an exchange of all with all leaves it; at most 1 [1].

    Notes
    -----
    share = min(1, s * G / (G - p_i)), where p_i devices of a group in even parts share its smaller unit; in
    the smallest unit s * G / (p_o - 1), as only its own devices are reached by it

    References
    ----------
    This project; two groups dealt out alike over all units send the same shares.

    Examples
    --------
    Two racks of 72 joined by 128 of 704 GB/s a device, over which half of an exchange passes:

    >>> share = tier_share(devices=144, inner_devices=72, outer_devices=144, share=128 / 704)
    >>> round(float(share) * 704)
    256
    """
    inner, outer = (
        np.divide(devices, domains_used(devices=devices, domain_devices=unit))
        for unit in (inner_devices, outer_devices)
    )
    innermost = np.less_equal(inner_devices, 1)
    beyond = np.where(innermost, np.ceil(outer) - 1.0, np.subtract(devices, np.floor(inner)))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.true_divide(np.multiply(share, devices), beyond)
    return np.where(np.greater(beyond, 0), np.minimum(found, 1.0), 1.0)[()]
