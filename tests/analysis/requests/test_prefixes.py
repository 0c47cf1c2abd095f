"""Prompts that begin alike: what a cache keeps of them, against one followed block by block, and by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.analysis.purchase.questions import Purchase
from roofline_afd.analysis.purchase.services import procure
from roofline_afd.analysis.requests import prefixes
from roofline_afd.analysis.requests.prefixes import read_reuse, reuse
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 16


def kept(prompts: list[list[tuple[int, ...]]], capacity: int) -> list[int]:
    """Return the blocks that each prompt finds, of a cache that gives up what is longest unused."""
    cache: dict[tuple[int, ...], None] = {}  # the longest unused first
    found = []
    for blocks in prompts:
        hits = 0
        while hits < len(blocks) and blocks[hits] in cache:
            hits += 1
        found.append(hits)
        for block in reversed(blocks):
            cache.pop(block, None)
            cache[block] = None
        for block in list(cache)[: max(len(cache) - capacity, 0)]:
            del cache[block]
    return found


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=2, max_size=25),
    st.integers(1, 40),
)
def test_every_cache_keeps_what_following_it_finds(texts: list[list[int]], capacity: int) -> None:
    """All sizes at once are as one size block by block; a block's name holds all that is before it."""
    prompts = [[tuple(text[: depth + 1]) for depth in range(len(text))] for text in texts]
    names = {block: index for index, block in enumerate({block: 0 for each in prompts for block in each})}
    counts = np.array([len(each) for each in prompts])
    found = reuse(
        counts * BLOCK + 1,
        np.array([names[block] for each in prompts for block in each]),
        counts,
        block_tokens=BLOCK,
    )
    assert found.cached(capacity * BLOCK).tolist() == [BLOCK * hits for hits in kept(prompts, capacity)]
    assert found.hit() >= found.hit(capacity * BLOCK)


def written(folder: Path, prompts: list[tuple[int, list[int]]]) -> Path:
    """Return a trace with blocks, a request a second."""
    file = folder / "trace.jsonl"
    rows = [
        {"timestamp": 1000 * at, "input_length": tokens, "output_length": 100, "hash_ids": blocks}
        for at, (tokens, blocks) in enumerate(prompts)
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def test_a_trace_by_hand(tmp_path: Path) -> None:
    """Blocks of 512: the second prompt finds one of three, the last all of its own but a token.

    The first prompt comes again after three other blocks and its own three: 6 blocks keep it. Blocks of the
    second that are its own are two.
    """
    first, second = [0, 1, 2], [0, 3, 4]
    found = read_reuse(written(tmp_path, [(1400, first), (1536, second), (1400, first)]))
    assert found is not None
    assert found.cached().tolist() == [0, 512, 1399]
    assert found.hit() == pytest.approx(1911 / 4336)
    assert found.cached(5 * 512).tolist() == [0, 512, 1399]
    assert found.cached(4 * 512).tolist() == [0, 512, 1024]  # the last block of the first has gone
    assert found.cached(1 * 512).tolist() == [0, 512, 512]
    assert found.cache_for(0.5) == 512


def test_short_last_blocks_may_be_left_out(tmp_path: Path) -> None:
    """Other writers name whole blocks alone: 2,600 tokens are five of 512; counts tell the size."""
    found = read_reuse(written(tmp_path, [(2600, [0, 1, 2, 3, 4]), (1400, [0, 1]), (100, [])]))
    assert found is not None
    assert found.cached().tolist() == [0, 1024, 0]


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ([(1400, [0, 1, 2]), (1400, [0])], "row 2: 1 hash_ids for 1,400 tokens"),
        ([(1400, [0, 1, 2]), (1400, [0, 0, 1])], "row 2: hash_ids must be a list of blocks, each once"),
        ([(1400, [0, 1, 2]), (1400, 7)], "row 2: hash_ids must be a list"),
    ],
)
def test_blocks_that_do_not_fit_are_named(tmp_path: Path, prompts: list[object], said: str) -> None:
    """A trace with other blocks than its prompts have is refused, with the row."""
    with pytest.raises(InputError, match=said):
        read_reuse(written(tmp_path, prompts))  # type: ignore[arg-type]  # what is refused


def test_a_trace_of_too_many_blocks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take too long is said, with the row that goes beyond."""
    monkeypatch.setattr(prefixes, "MAX_BLOCKS", 4)
    with pytest.raises(InputError, match="row 2: more than 4 blocks"):
        read_reuse(written(tmp_path, [(1400, [0, 1, 2]), (1400, [0, 1, 2])]))


def bought(trace: Path, **given: float | None) -> Purchase:
    """Return a question about whole requests as in a trace."""
    return Purchase(
        [Scenario(system="h200", model="deepseek-v3")],
        request_rate=20.0,
        trace=trace,
        ttft_p95_ms=5000.0,
        tpot_p95_ms=60.0,
        modes=("pd",),
        prices={"h200": 2.0},
        **given,  # type: ignore[arg-type]  # fields of a purchase
    )


def test_a_purchase_knows_what_a_cache_keeps(tmp_path: Path) -> None:
    """A trace whose prompts recur needs fewer devices for prompts with its cache than without."""
    turns = [list(range(100 * user, 100 * user + 8 * turn)) for turn in (1, 2, 3) for user in range(1, 9)]
    trace = written(tmp_path, [(512 * len(blocks), blocks) for blocks in turns])
    with_cache, without = procure(bought(trace)), procure(bought(trace, prefix_hit=0.0))
    # 8 + 16 + 24 blocks, of which 8 and 16 recur
    assert with_cache.inputs["cached_tokens"] == 8192 * 0.5
    assert without.inputs["cached_tokens"] == 0
    assert with_cache.rows()[0]["usd_per_request"] < without.rows()[0]["usd_per_request"]
    assert "at most 50.0% that recur" in with_cache.notes[0]
    small = procure(bought(trace, prefix_cache_gb=0.1))
    assert small.inputs["cached_tokens"] == 0  # 8 users come in turn: theirs is gone when they are back


def test_a_cache_needs_blocks_and_no_hit_given(tmp_path: Path) -> None:
    """A size of the cache belongs to a trace with blocks, and to no hit that is given."""
    trace = written(tmp_path, [(512, [0]), (512, [1])])
    with pytest.raises(InputError, match="exclude each other"):
        procure(bought(trace, prefix_cache_gb=1.0, prefix_hit=0.1))
    plain = tmp_path / "plain.jsonl"
    plain.write_text('{"input_length": 512, "output_length": 9}\n' * 2, encoding="utf-8")
    with pytest.raises(InputError, match="name blocks"):
        procure(bought(plain, prefix_cache_gb=1.0))
