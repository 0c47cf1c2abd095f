"""Requests that wait before several servers: how many do, how long, and how many are in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike


def waiting_probability(*, servers: FloatLike, load: FloatLike) -> FloatArray:
    """Return the chance that a request finds all servers busy.

    Parameters
    ----------
    servers : float or array
        Servers that take requests in turn, c [1].
    load : float or array
        Requests a second times the mean time of serving one, a = lambda * S [1].

    Returns
    -------
    float or array
        Chance; 1 where requests arrive as fast as they are served, or faster [1].

    Notes
    -----
    C(c, a) = B / (1 - rho * (1 - B)) with rho = a / c and B = a^c / c! / sum_{k=0..c} a^k / k!, which is the
    chance of a Poisson number of mean a to be c where it is at most c

    References
    ----------
    Erlang 1917: the M/M/c queue (C formula).

    Examples
    --------
    >>> round(float(waiting_probability(servers=2, load=1.5)), 4)
    0.6429
    """
    c, a = np.broadcast_arrays(np.multiply(servers, 1.0), np.multiply(load, 1.0))
    found = np.ones(c.shape)
    busy = (a > 0) & (a < c)
    blocked = _blocked(c[busy], a[busy])
    rho = a[busy] / c[busy]
    found[busy] = blocked / (1.0 - rho * (1.0 - blocked))
    found[a <= 0] = 0.0
    return found[()]


def _blocked(servers: NDArray[np.float64], load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Erlang's B for whole numbers of servers, by the recursion over servers, all loads at once."""
    found = np.ones(servers.shape)
    steps = np.arange(1, int(np.max(servers, initial=0)) + 1)
    for step in steps.tolist():
        one = load * found / (step + load * found)
        found = np.where(step <= servers, one, found)
    return found


def waiting_percentile(
    *, servers: FloatLike, rate: FloatLike, service: FloatLike, variation: FloatLike, percentile: FloatLike
) -> FloatArray:
    """Return the time within which a share of requests begin to be served.

    Parameters
    ----------
    servers : float or array
        Servers that take requests in turn, c [1].
    rate : float or array
        Requests a second, arriving at random, lambda [1/s].
    service : float or array
        Mean time of serving one, S [s].
    variation : float or array
        Standard deviation of that time over its mean, cv [1].
    percentile : float or array
        Share of requests, below 1, p [1].

    Returns
    -------
    float or array
        Time; 0 where so many do not wait at all, infinite where requests arrive as fast as they are served,
        or faster [s].

    Notes
    -----
    W_p = max(0, ln(C / (1 - p))) * S * (1 + cv^2) / (2 * c * (1 - rho)) with rho = lambda * S / c and C the
    chance to wait (`waiting_probability`): times of those that wait are taken to be exponential

    References
    ----------
    Allen, Probability, Statistics and Queueing Theory (1990), section 5.2.8: the mean of M/G/c by Allen and
    Cunneen, and percentiles of an exponential tail.

    Examples
    --------
    >>> round(float(waiting_percentile(servers=1, rate=8, service=0.1, variation=1, percentile=0.95)), 4)
    1.3863
    """
    load = np.multiply(rate, service)
    rho = np.divide(load, servers)
    chance = waiting_probability(servers=servers, load=load)
    spread = 0.5 * (1.0 + np.square(variation))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.multiply(service, spread) / np.multiply(servers, np.subtract(1.0, rho))
        late = np.maximum(np.log(np.divide(chance, np.subtract(1.0, percentile))), 0.0)
        found = np.where(late > 0, late * mean, 0.0)
    return np.where(np.less(rho, 1.0), found, np.inf)[()]


def peak_of_poisson(*, mean: FloatLike, deviations: FloatLike) -> FloatArray:
    """Return what the requests in flight rarely exceed, where they come at random and each stays for itself.

    Parameters
    ----------
    mean : float or array
        Mean requests in flight, L [1].
    deviations : float or array
        Standard deviations of a normal number that are not exceeded, z [1].

    Returns
    -------
    float or array
        Requests [1].

    Notes
    -----
    L_p = L + z * sqrt(L): a Poisson number, near to a normal one

    References
    ----------
    This project, after the M/G/infinity queue, whose number in service is of Poisson.

    Examples
    --------
    >>> float(peak_of_poisson(mean=10_000, deviations=1.645))
    10164.5
    """
    return np.add(mean, np.multiply(deviations, np.sqrt(mean)))


def requests_of_users(*, users: FloatLike, think: FloatLike, answer: FloatLike) -> FloatArray:
    """Return the requests a second of users who each wait for an answer before they think of the next.

    Parameters
    ----------
    users : float or array
        Users, N [1].
    think : float or array
        Time between an answer and the next request, Z [s].
    answer : float or array
        Time from a request to the end of its answer, R [s].

    Returns
    -------
    float or array
        Rate [1/s].

    Notes
    -----
    lambda = N / (Z + R)

    References
    ----------
    Little 1961: the law of response times of a closed system.

    Examples
    --------
    >>> float(requests_of_users(users=1000, think=30, answer=20))
    20.0
    """
    return np.divide(users, np.add(think, answer))
