"""Prefill and decode on the same devices or apart: shares of steps, rates, waiting, working memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike


def mixed_share(
    *,
    batch: FloatLike,
    accept_length: FloatLike,
    prompt_tokens: FloatLike,
    output_tokens: FloatLike,
    chunk_tokens: FloatLike,
) -> FloatArray:
    """Return the share of decode steps that carry a chunk of a prompt, for as many requests in as out.

    Parameters
    ----------
    accept_length
        As in `nomenclature`.
    batch : float or array
        Sequences decoded together, B [1].
    prompt_tokens, output_tokens : float or array
        Tokens of a request to prefill, and to decode, ISL and OSL [1].
    chunk_tokens : float or array
        Prompt tokens of a mixed step, c [1].

    Returns
    -------
    float or array
        Share; above 1 prompts arrive faster than they are prefilled [1].

    Notes
    -----
    f = a * B * ISL / (OSL * c)

    References
    ----------
    arXiv 2403.02310 (Sarathi-Serve) for chunked prefill; the balance of tokens is this project's.

    Examples
    --------
    >>> float(mixed_share(batch=64, accept_length=1, prompt_tokens=512, output_tokens=256, chunk_tokens=512))
    0.25
    """
    prompts = np.multiply(np.multiply(batch, accept_length), prompt_tokens)
    return np.divide(prompts, np.multiply(output_tokens, chunk_tokens))


def mean_step_time(
    *, mixed: FloatLike, one: FloatLike, pure: FloatLike, share: FloatLike, groups: FloatLike
) -> FloatArray:
    """Return the mean time of a step where attention groups carry chunks of prompts, each for itself.

    Parameters
    ----------
    mixed : float or array
        Time of a step in which every group carries a chunk [s].
    pure : float or array
        Time of a step in which none does [s].
    one : float or array
        Time of a step in which one group alone does: all wait for its attention [s].
    share : float or array
        Share of its steps in which a group carries a chunk (`mixed_share`), f [1].
    groups : float or array
        Attention groups that step together, g [1].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    t = p * t_pure + (1 - p) * t_one + (g * f - (1 - p)) * (t_mixed - t_one) / (g - 1) with
    p = (1 - f)^g, the chance that no group carries one; between one and all a step grows by as much with each
    group, and g * f of them carry one in the mean. For g = 1 t = f * t_mixed + (1 - f) * t_pure

    References
    ----------
    arXiv 2403.02310 (Sarathi-Serve) for chunked prefill; that groups carry chunks independently of each other
    is this project's.

    Examples
    --------
    >>> float(mean_step_time(mixed=0.03, one=0.03, pure=0.02, share=0.25, groups=1))
    0.0225
    >>> round(float(mean_step_time(mixed=0.03, one=0.024, pure=0.02, share=0.25, groups=4)), 5)
    0.02337
    """
    f = np.minimum(share, 1.0)
    some = -np.expm1(np.multiply(groups, np.log1p(-np.minimum(f, 1.0 - 1e-12))))
    further = np.divide(np.subtract(mixed, one), np.maximum(np.subtract(groups, 1.0), 1.0))
    alone = np.where(np.equal(groups, 1.0), mixed, one)
    grown = np.where(np.equal(groups, 1.0), 0.0, np.multiply(groups, f) - some)
    return (1.0 - some) * pure + some * alone + grown * further


def prompt_step_time(*, mixed: FloatLike, one: FloatLike, share: FloatLike, groups: FloatLike) -> FloatArray:
    """Return the mean time of a step that carries a chunk of a prompt, for the group that has it.

    Parameters
    ----------
    mixed, one, share, groups : float or array
        As in `mean_step_time` [s, s, 1, 1].

    Returns
    -------
    float or array
        Time [s].

    Notes
    -----
    t = t_one + f * (t_mixed - t_one): each of the other groups carries a chunk in a share f of steps; t_mixed
    for g = 1

    References
    ----------
    This project.

    Examples
    --------
    >>> round(float(prompt_step_time(mixed=0.03, one=0.024, share=0.25, groups=4)), 4)
    0.0255
    """
    f = np.minimum(share, 1.0)
    found = np.add(one, np.multiply(f, np.subtract(mixed, one)))
    return np.where(np.equal(groups, 1.0), mixed, found)[()]


def prefill_rate(*, chunk_tokens: FloatLike, prompt_tokens: FloatLike, step: FloatLike) -> FloatArray:
    """Return the prompts a second that steps of prompts alone get through.

    Parameters
    ----------
    step
        As in `nomenclature`.
    chunk_tokens : float or array
        Prompt tokens of a step, c [1].
    prompt_tokens : float or array
        Tokens of a prompt to prefill, ISL [1].

    Returns
    -------
    float or array
        Rate [1/s].

    Notes
    -----
    rate = c / (ISL * t)

    References
    ----------
    This project: tokens in are tokens computed.

    Examples
    --------
    >>> float(prefill_rate(chunk_tokens=1024, prompt_tokens=512, step=0.1))
    20.0
    """
    return np.divide(chunk_tokens, np.multiply(prompt_tokens, step))


def matched_rate(
    *,
    prefill_replicas: FloatLike,
    prefill_rate: FloatLike,
    decode_replicas: FloatLike,
    decode_rate: FloatLike,
) -> FloatArray:
    """Return the requests a second that two pools serve one after the other.

    Parameters
    ----------
    prefill_replicas, decode_replicas : float or array
        Replicas of either pool [1].
    prefill_rate, decode_rate : float or array
        Requests a second that one replica of each gets through [1/s].

    Returns
    -------
    float or array
        Rate [1/s].

    Notes
    -----
    rate = min(n_prefill * rate_prefill, n_decode * rate_decode)

    References
    ----------
    arXiv 2401.09670 (DistServe).

    Examples
    --------
    >>> float(matched_rate(prefill_replicas=2, prefill_rate=10, decode_replicas=3, decode_rate=8))
    20.0
    """
    return np.minimum(np.multiply(prefill_replicas, prefill_rate), np.multiply(decode_replicas, decode_rate))


def waiting_time(*, rate: FloatLike, service: FloatLike, variation: FloatLike) -> FloatArray:
    """Return the mean time a request waits before one server that takes them in turn.

    Parameters
    ----------
    rate : float or array
        Requests a second at this server, arriving at random, lambda [1/s].
    service : float or array
        Mean time of serving one, S [s].
    variation : float or array
        Standard deviation of that time over its mean, cv [1].

    Returns
    -------
    float or array
        Time; infinite where requests arrive as fast as they are served, or faster [s].

    Notes
    -----
    W = rho * S * (1 + cv^2) / (2 * (1 - rho)) with rho = lambda * S

    References
    ----------
    Pollaczek 1930, Khinchine 1932: the M/G/1 queue.

    Examples
    --------
    >>> round(float(waiting_time(rate=8, service=0.1, variation=0)), 6)
    0.2
    """
    load = np.multiply(rate, service)
    spread = 0.5 * (1.0 + np.square(variation))
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = load * np.multiply(service, spread) / np.subtract(1.0, load)
    return np.where(np.less(load, 1.0), wait, np.inf)[()]


def working_bytes(
    *,
    tokens: FloatLike,
    hidden_size: FloatLike,
    attention_width: FloatLike,
    pairs: FloatLike,
    dispatch_width: FloatLike,
    intermediate: FloatLike,
    expert_matrices: FloatLike,
    activation_bytes: FloatLike,
) -> FloatArray:
    """Return the memory that the tokens of a step need while one layer computes them.

    Parameters
    ----------
    tokens : float or array
        Tokens in flight on an attention device, n [1].
    hidden_size, attention_width : float or array
        Width of the residual stream, and of queries, keys, values and results together [1].
    pairs : float or array
        Tokens at experts of an expert device, p [1].
    dispatch_width, intermediate, expert_matrices : float or array
        Width of a vector sent, rows of an expert, and its matrices [1].
    activation_bytes : float or array
        Size of an element [B].

    Returns
    -------
    float or array
        Memory [B].

    Notes
    -----
    bytes = e * (n * (2 * hidden + attention) + p * (2 * width + matrices * intermediate))

    References
    ----------
    This project: input, residual, and what a layer keeps between its products; nothing is kept across layers.

    Examples
    --------
    >>> float(working_bytes(tokens=1, hidden_size=4, attention_width=8, pairs=2, dispatch_width=4,
    ...                     intermediate=2, expert_matrices=3, activation_bytes=2))
    88.0
    """
    attention = np.multiply(tokens, np.add(np.multiply(2.0, hidden_size), attention_width))
    experts = np.multiply(
        pairs, np.add(np.multiply(2.0, dispatch_width), np.multiply(expert_matrices, intermediate))
    )
    return np.multiply(activation_bytes, attention + experts)
