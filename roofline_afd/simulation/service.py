"""A service under load: requests that arrive, wait, are prefilled and decoded on replicas of batches.

A replica steps as one: its attention groups wait for each other at every layer, so a step takes as long as
the fullest group's. Between two events nothing of a replica changes, so that it is moved on by many steps at
once: what is counted is steps, and time follows from them.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.simulation.arrays import Floats

ROUNDING = 1e-9
"""Steps that are taken for none."""
FINISHED, JOINED, STEPPED = range(3)
"""What happens after a step: an answer is done, a sequence joins, prompts go on."""
FILLS = 8
"""Parts of a chunk that tables of steps tell apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """Replicas alike, in SI.

    Parameters
    ----------
    replicas, groups : int
        Replicas, and attention groups of each [1].
    slots : int
        Sequences that a replica holds [1].
    chunk : float
        Prompt tokens of a step and group; 0 where no prompts are computed [1].
    every : int
        Steps of which one carries prompts [1].
    even : sequence of sequence of float
        Time of a step: by the sequences that a replica decodes, from 0 to `slots`, and by how full the chunks
        of its groups are, all alike, in eighths from 0 to 8 [s].
    uneven : sequence of sequence of float
        The same where they are so full in the mean, but one wholly: all wait for its attention [s].
    """

    replicas: int
    groups: int
    slots: int
    chunk: float
    every: int
    even: Sequence[Sequence[float]]
    uneven: Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Requests:
    """Requests in the order of their arrival: when each comes [s], and its tokens to prefill and decode."""

    arrival: Floats
    prompt: Floats
    output: Floats


@dataclasses.dataclass(frozen=True)
class Served:
    """When each request had its first token and its last, and how busy replicas were."""

    requests: Requests
    first: Floats
    finish: Floats
    admitted: Floats
    """When a place to compute its prompt was given to it [s]."""
    busy: NDArray[np.float64]
    """Time that each replica of the last pool was at work [s]."""
    prefill_busy: NDArray[np.float64]
    """The same of the first pool, where there are two."""


def serve(
    requests: Requests, pool: Pool, *, accepted: float = 1.0, prefill: Pool | None = None, moving: float = 0.0
) -> Served:
    """Follow requests through a service until the last is answered.

    Each goes to the replica that is least full, and there to the group that is done with its prompts first;
    where all places are taken it waits for the first that is given back.

    Parameters
    ----------
    requests : Requests
        Requests.
    pool : Pool
        Replicas that decode, and prefill where no others do.
    accepted : float
        Tokens accepted of a step [1].
    prefill : Pool, optional
        Replicas that prefill.
    moving : float
        Time for the cache of a prompt to move between them [s].

    Returns
    -------
    Served
        Times of every request.
    """
    service = _Service(requests, accepted=accepted, moving=moving)
    last = _Replicas(pool)
    first = last if prefill is None else _Replicas(prefill)
    service.run(first, last)
    return Served(
        requests,
        np.array(service.first),
        np.array(service.finish),
        np.array(service.admitted),
        np.array(last.busy),
        np.array([] if prefill is None else first.busy),
    )


class _Replicas:
    """The state of a pool, a list by replica for each of its numbers."""

    def __init__(self, pool: Pool) -> None:
        many = pool.replicas
        self.pool = pool
        self.load = [0] * many
        """Requests that hold a place."""
        self.decoding = [0] * many
        self.step = [0] * many
        """Steps done."""
        self.time = [0.0] * many
        """When they were done [s]."""
        self.pace = [0.0] * many
        """Time of each step from then on [s]."""
        self.events: list[list[tuple[int, int, int]]] = [[] for _ in range(many)]
        self.backlog = [[0.0] * pool.groups for _ in range(many)]
        """Prompt tokens that each group has yet to compute."""
        self.prompts: list[dict[int, deque[list[float]]]] = [{} for _ in range(many)]
        """Requests of each group that has prompts, with the tokens left of each."""
        self.coming: list[list[int]] = [[] for _ in range(many)]
        """Requests whose prompts begin with the next step."""
        self.stepping = [False] * many
        """Whether a step with prompts is under way."""
        self.version = [0] * many
        self.busy = [0.0] * many
        self.waiting: deque[int] = deque()

    def emptiest(self) -> int:
        """Return the replica that is least full; -1 where none has a place."""
        best = min(range(len(self.load)), key=self.load.__getitem__)
        return best if self.load[best] < self.pool.slots else -1

    def idle(self, index: int) -> bool:
        """Return whether a replica has nothing to do."""
        return not (self.events[index] or self.prompts[index] or self.coming[index])

    def now(self, index: int, time: float) -> int:
        """Return the step at whose beginning something new is taken up."""
        pace = self.pace[index]
        passed = (time - self.time[index]) / pace if pace > 0 else 0.0
        return math.ceil(self.step[index] + passed - ROUNDING)

    def begin(self, index: int, prompt: list[float]) -> None:
        """Give the prompts that came to the groups that have least to compute."""
        backlog, prompts = self.backlog[index], self.prompts[index]
        for request in self.coming[index]:
            group = min(range(len(backlog)), key=backlog.__getitem__)
            backlog[group] += prompt[request]
            prompts.setdefault(group, deque()).append([request, prompt[request]])
        self.coming[index].clear()

    def set_pace(self, index: int) -> None:
        """Set how long the next steps of a replica take, as long as nothing changes."""
        pool, sequences = self.pool, self.decoding[index]
        prompts = self.prompts[index]
        step = self.step[index]
        if not prompts or (sequences and step % pool.every):
            self.pace[index] = pool.even[sequences][0]
            if prompts:
                heapq.heappush(self.events[index], (step + pool.every - step % pool.every, JOINED, -1))
            return
        chunk, backlog = pool.chunk, self.backlog[index]
        whole = most = 0.0
        for group in prompts:
            tokens = min(backlog[group], chunk)
            whole += tokens
            most = max(most, tokens)
        mean = math.ceil(FILLS * whole / (chunk * pool.groups) - ROUNDING)
        pace = pool.even[sequences][mean]
        longest = FILLS * most / chunk
        if longest > mean:  # between all alike and one wholly full
            pace += (pool.uneven[sequences][mean] - pace) * (longest - mean) / (FILLS - mean)
        self.pace[index] = pace
        if not self.stepping[index]:
            self.stepping[index] = True
            heapq.heappush(self.events[index], (self.step[index] + 1, STEPPED, -1))


class _Service:
    """Requests on their way, and what happens next."""

    def __init__(self, requests: Requests, *, accepted: float, moving: float) -> None:
        self.arrival = requests.arrival.tolist()
        self.prompt = requests.prompt.tolist()
        self.steps = [
            int(each)
            for each in np.ceil(np.maximum(requests.output - 1.0, 0.0) / accepted - ROUNDING).tolist()
        ]
        self.moving = moving
        many = len(self.arrival)
        self.first = [math.nan] * many
        self.finish = [math.nan] * many
        self.admitted = [math.nan] * many
        self.heap: list[tuple[float, int, int, int]] = []
        """What happens next: time, pool (0, 1; 2 for a cache that has moved), replica or request, version."""

    def run(self, first: _Replicas, last: _Replicas) -> None:
        """Follow every request."""
        pools = (first, last)
        apart = first is not last
        arrivals, many, coming = self.arrival, len(self.arrival), 0
        heap = self.heap
        while coming < many or heap:
            if coming < many and (not heap or arrivals[coming] <= heap[0][0]):
                self._take(first, 0, coming, arrivals[coming])
                coming += 1
                continue
            time, which, index, version = heapq.heappop(heap)
            if which == 2:  # noqa: PLR2004 - a cache that has moved
                self._take(last, 1, index, time)
                continue
            replicas = pools[which]
            if version == replicas.version[index]:
                self._advance(replicas, which, index, apart=apart)

    def _take(self, replicas: _Replicas, which: int, request: int, time: float) -> None:
        """Give a request to the emptiest replica, or let it wait."""
        index = replicas.emptiest()
        if index < 0:
            replicas.waiting.append(request)
            return
        idle = replicas.idle(index)
        self._admit(replicas, which, index, request, time)
        if idle:
            replicas.begin(index, self.prompt)
            replicas.set_pace(index)
            self._schedule(replicas, which, index)
        elif not replicas.stepping[index] or replicas.pool.chunk <= 0:
            self._schedule(replicas, which, index)

    def _admit(self, replicas: _Replicas, which: int, index: int, request: int, time: float) -> None:
        """Give a request a place of a replica, from its next step on."""
        events = replicas.events[index]
        replicas.load[index] += 1
        if replicas.idle(index):
            replicas.time[index] = time
            replicas.pace[index] = 0.0
        begin = replicas.now(index, time)
        if replicas.pool.chunk <= 0:
            heapq.heappush(events, (begin, JOINED, request))
            return
        if which == 0:
            self.admitted[request] = time
        replicas.coming[index].append(request)
        if not replicas.stepping[index]:  # else the end of the step under way is an event already
            heapq.heappush(events, (begin, JOINED, -1))

    def _schedule(self, replicas: _Replicas, which: int, index: int) -> None:
        """Put down when the next thing happens at a replica."""
        events = replicas.events[index]
        replicas.version[index] += 1
        if events:
            steps = max(events[0][0] - replicas.step[index], 0)
            time = replicas.time[index] + steps * replicas.pace[index]
            heapq.heappush(self.heap, (time, which, index, replicas.version[index]))

    def _advance(self, replicas: _Replicas, which: int, index: int, *, apart: bool) -> None:
        """Move a replica on to its next event, and let all that happens after that step happen."""
        events = replicas.events[index]
        step = max(events[0][0], replicas.step[index])
        passed = (step - replicas.step[index]) * replicas.pace[index]
        time = replicas.time[index] = replicas.time[index] + passed
        replicas.busy[index] += passed
        replicas.step[index] = step
        left = 0
        while events and events[0][0] <= step:
            _, kind, request = heapq.heappop(events)
            if kind == STEPPED:
                left += self._go_on(replicas, index, time, apart=apart)
            elif kind == FINISHED:
                self.finish[request] = time
                replicas.decoding[index] -= 1
                left += 1
            elif request >= 0:
                if math.isnan(self.first[request]):
                    self.first[request] = self.admitted[request] = time
                self._decode(replicas, index, request)
        replicas.load[index] -= left
        while left and replicas.waiting:
            self._admit(replicas, which, index, replicas.waiting.popleft(), time)
            left -= 1
        replicas.begin(index, self.prompt)
        replicas.set_pace(index)
        self._schedule(replicas, which, index)

    def _decode(self, replicas: _Replicas, index: int, request: int) -> None:
        """Let a sequence decode, until all of its tokens are."""
        replicas.decoding[index] += 1
        until = replicas.step[index] + max(self.steps[request], 1)
        heapq.heappush(replicas.events[index], (until, FINISHED, request))

    def _go_on(self, replicas: _Replicas, index: int, time: float, *, apart: bool) -> int:
        """Take a chunk off the prompts of each group; return how many requests are done here."""
        replicas.stepping[index] = False
        chunk, backlog, prompts = replicas.pool.chunk, replicas.backlog[index], replicas.prompts[index]
        done = 0
        for group in list(prompts):
            tokens, queue = chunk, prompts[group]
            while queue and tokens > ROUNDING:
                request, left = queue[0]
                taken = min(left, tokens)
                tokens -= taken
                backlog[group] -= taken
                queue[0][1] = left - taken
                if left - taken > ROUNDING:
                    break
                queue.popleft()
                done += self._answered(replicas, index, int(request), time, apart=apart)
            if not queue:
                del prompts[group]
                backlog[group] = 0.0
        return done

    def _answered(self, replicas: _Replicas, index: int, request: int, time: float, *, apart: bool) -> int:
        """Give out a first token; return 1 where nothing more is done here."""
        self.first[request] = time
        if self.steps[request] <= 0:
            self.finish[request] = time
            return 1
        if apart:
            heapq.heappush(self.heap, (time + self.moving, 2, request, 0))
            return 1
        self._decode(replicas, index, request)
        return 0
