"""What tokens cost: money and energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike

SECONDS_PER_HOUR = 3600.0
HOURS_PER_YEAR = 8760.0


def usd_per_million_tokens(*, usd_per_hour: FloatLike, tokens_per_s: FloatLike) -> FloatArray:
    """Return what a million output tokens cost.

    Parameters
    ----------
    tokens_per_s
        As in `nomenclature`.
    usd_per_hour : float or array
        Price of all devices [USD/h].

    Returns
    -------
    float or array
        Price [USD].

    Notes
    -----
    price = 1e6 * (USD per hour) / (3600 * tokens/s)

    References
    ----------
    This project.

    Examples
    --------
    >>> float(usd_per_million_tokens(usd_per_hour=36, tokens_per_s=10_000))
    1.0
    """
    return 1e6 * np.divide(usd_per_hour, np.multiply(SECONDS_PER_HOUR, tokens_per_s))


def tokens_per_joule(*, tokens_per_s: FloatLike, power: FloatLike) -> FloatArray:
    """Return the output tokens that a joule buys, the same as tokens a second per watt.

    Parameters
    ----------
    tokens_per_s
        As in `nomenclature`.
    power : float or array
        Power of all devices [W].

    Returns
    -------
    float or array
        Tokens per joule [1/J].

    Notes
    -----
    tokens/J = tokens/s / W

    References
    ----------
    This project.

    Examples
    --------
    >>> float(tokens_per_joule(tokens_per_s=5000, power=2000))
    2.5
    """
    return np.divide(tokens_per_s, power)


def ownership_usd_per_hour(
    *,
    purchase_usd: FloatLike,
    years: FloatLike,
    power: FloatLike,
    power_usd_per_kwh: FloatLike,
    pue: FloatLike,
) -> FloatArray:
    """Return what an hour of bought devices costs: purchase written off evenly, and power.

    Parameters
    ----------
    power_usd_per_kwh, pue
        As in `nomenclature`.
    purchase_usd : float or array
        Price of the devices [USD].
    years : float or array
        Time they are written off over [1].
    power : float or array
        Power they draw [W].

    Returns
    -------
    float or array
        Price [USD/h].

    Notes
    -----
    rate = USD / (8760 * years) + kW * PUE * USD per kWh

    References
    ----------
    This project: straight-line depreciation; no interest, staff or network.

    Examples
    --------
    >>> float(ownership_usd_per_hour(purchase_usd=43_800, years=5, power=1000, power_usd_per_kwh=0.1,
    ...                              pue=1.5))
    1.15
    """
    written_off = np.divide(purchase_usd, np.multiply(HOURS_PER_YEAR, years))
    return written_off + np.multiply(np.multiply(power, 1e-3), np.multiply(pue, power_usd_per_kwh))


def affordable_purchase_usd(
    *,
    usd_per_hour: FloatLike,
    years: FloatLike,
    power: FloatLike,
    power_usd_per_kwh: FloatLike,
    pue: FloatLike,
) -> FloatArray:
    """Return what devices may cost so that an hour of them costs no more than this.

    Parameters
    ----------
    power_usd_per_kwh, pue
        As in `nomenclature`.
    usd_per_hour : float or array
        What an hour may cost [USD/h].
    years : float or array
        Time they are written off over [1].
    power : float or array
        Power they draw [W].

    Returns
    -------
    float or array
        Price of the devices; not above 0 where power alone costs as much [USD].

    Notes
    -----
    USD = (rate - kW * PUE * USD per kWh) * 8760 * years

    References
    ----------
    This project: `ownership_usd_per_hour`, solved for the purchase.

    Examples
    --------
    >>> round(float(affordable_purchase_usd(usd_per_hour=1.15, years=5, power=1000, power_usd_per_kwh=0.1,
    ...                                     pue=1.5)))
    43800
    """
    running = ownership_usd_per_hour(
        purchase_usd=0.0, years=years, power=power, power_usd_per_kwh=power_usd_per_kwh, pue=pue
    )
    return np.multiply(np.subtract(usd_per_hour, running), np.multiply(HOURS_PER_YEAR, years))


def fleet_replicas(*, demand: FloatLike, replica_capacity: FloatLike) -> FloatArray:
    """Return the replicas that serve a demand.

    Parameters
    ----------
    demand : float or array
        What is wanted: output tokens a second [tokens/s], or sequences at once [1].
    replica_capacity : float or array
        What one replica gives of it, in the same unit [tokens/s].

    Returns
    -------
    float or array
        Whole replicas [1].

    Notes
    -----
    n = ceil(demand / capacity)

    References
    ----------
    This project.

    Examples
    --------
    >>> float(fleet_replicas(demand=1e6, replica_capacity=64_000))
    16.0
    """
    return np.ceil(np.divide(demand, replica_capacity) * (1.0 - 1e-12))


def usd_per_request(*, usd_per_hour: FloatLike, requests_per_s: FloatLike) -> FloatArray:
    """Return what a request costs.

    Parameters
    ----------
    usd_per_hour : float or array
        Price of all devices [USD/h].
    requests_per_s : float or array
        Requests served a second [1/s].

    Returns
    -------
    float or array
        Price [USD].

    Notes
    -----
    price = (USD per hour) / (3600 * requests/s)

    References
    ----------
    This project.

    Examples
    --------
    >>> float(usd_per_request(usd_per_hour=720, requests_per_s=10))
    0.02
    """
    return np.divide(usd_per_hour, np.multiply(SECONDS_PER_HOUR, requests_per_s))


def break_even_utilization(
    *, usd_per_hour: FloatLike, requests_per_s: FloatLike, usd_per_request: FloatLike
) -> FloatArray:
    """Return the share of its load at which a fleet costs as much as buying the same requests elsewhere.

    Parameters
    ----------
    usd_per_hour : float or array
        Price of the fleet, whatever it serves [USD/h].
    requests_per_s : float or array
        Requests a second that it serves at full load [1/s].
    usd_per_request : float or array
        What a request costs elsewhere [USD].

    Returns
    -------
    float or array
        Share; above 1 it is dearer even at full load [1].

    Notes
    -----
    u = (USD per hour) / (3600 * requests/s * USD per request)

    References
    ----------
    This project.

    Examples
    --------
    >>> float(break_even_utilization(usd_per_hour=720, requests_per_s=10, usd_per_request=0.04))
    0.5
    """
    return np.divide(
        usd_per_hour, np.multiply(np.multiply(SECONDS_PER_HOUR, requests_per_s), usd_per_request)
    )
