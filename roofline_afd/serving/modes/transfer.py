"""The cache of a prompt on its way from the pool that prefills to the pool that decodes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics import network

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.modes.question import Question
    from roofline_afd.serving.modes.workers import Workers


class CacheTransfer:
    """Times and rates of caches that move between two pools.

    Parameters
    ----------
    question : Question
        What is asked.
    prefill, decode : Workers
        Both pools.
    """

    def __init__(self, question: Question, prefill: Workers, decode: Workers) -> None:
        self.question = question
        self.prefill = prefill
        self.decode = decode

    @cached_property
    def ends(self) -> tuple[float, float, float]:
        """Effective bandwidth of a sending and of a receiving device [B/s], and the fixed time [s]."""
        sides = [each.deployments.layers(each.transport) for each in (self.prefill, self.decode)]
        links = [each.calibration("attention").link for each in sides]
        (send_up, send_out), (receive_up, receive_out) = (each.bandwidths("attention") for each in sides)
        one, other = (each.attention for each in sides)
        together = one.id == other.id and self.question.devices <= one.scale_up_domain_devices
        if self.question.kv_link == "scale-up" or (self.question.kv_link == "auto" and together):
            return send_up, receive_up, max(link.latency_up_s for link in links)
        return send_out, receive_out, max(link.latency_out_s for link in links)

    @property
    def possible(self) -> bool:
        """Whether a fabric leads from one pool to the other."""
        return all(self.ends[:2])

    def time(self, sending: FloatArray, receiving: int) -> FloatArray:
        """Return the time to move the cache of one request between groups that share heads [s]."""
        if not self.possible:
            return np.inf
        sender, receiver, latency = self.ends
        return network.cache_transfer_time(
            cache_bytes=self._bytes(receiving),
            sending_devices=sending,
            receiving_devices=receiving,
            sending_bandwidth=sender,
            receiving_bandwidth=receiver,
            latency=latency,
        )

    def sent(self, attention: FloatArray, receiving: FloatArray) -> FloatArray:
        """Return the requests a second whose cache the links of a prefilling replica send [1/s]."""
        return self._rate(attention, self.ends[0], receiving)

    def received(self, attention: FloatArray, receiving: FloatArray) -> FloatArray:
        """Return the requests a second whose cache the links of a decoding replica receive [1/s]."""
        return self._rate(attention, self.ends[1], receiving)

    def _rate(self, attention: FloatArray, bandwidth: float, receiving: FloatArray) -> FloatArray:
        kinds, which = np.unique(receiving, return_inverse=True)
        moved = np.array([max(self._bytes(int(kind)), 1.0) for kind in kinds])[which]
        return np.multiply(attention, bandwidth) / moved.reshape(np.shape(receiving))

    def _bytes(self, receiving: int) -> float:
        """Return the bytes that move for one request to devices that share heads so many ways [B]."""
        work, deployments = self.question.workload, self.decode.deployments
        moved = work.isl if self.question.kv_moved == "new" else work.prompt
        return receiving * float(deployments.cache_of(moved, receiving))
