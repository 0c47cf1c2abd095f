"""The shipped models: each parses, its count meets what its maker states, and known traps are avoided."""

from __future__ import annotations

import csv
import functools
import re
from importlib.resources import files

import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import Model, load_model, model_of
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.records import KINDS
from roofline_afd.catalogue.schema import properties, unread_keys
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.conftest import ROOT, SHARED

RAW = SHARED / "data" / "catalogue" / "models.csv"
needs_raw = pytest.mark.skipif(not RAW.is_file(), reason="the raw catalogue tables are not there")

CATALOGUE = Catalogue()
IDS = CATALOGUE.ids("model")

TOTAL_EXCEPTIONS = {
    "nemotron-3-nano-30b-a3b": (0.06, "its name rounds 31.6 down to 30"),
}
"""Models whose count is over 4 % (1 % with a decimal) from the published total, the bound, and why."""

ACTIVE_EXCEPTIONS = {
    "ernie-4.5-21b": (0.12, "its name rounds 3.4 down to A3B"),
    "glm-4.7-flash": (0.20, "its name rounds 3.6 down to A3B"),
    "qwen3-next-80b-a3b": (0.20, "its name leaves the output head out and rounds down to A3B"),
    "qwen3.5-122b-a10b": (0.11, "its name rounds 9.0 up to A10B; with the embedding it is 9.8"),
    "olmoe-1b-7b": (0.10, "its paper counts the embedding too"),
}
"""Models whose active parameters are further than 8 % from what their maker states, the bound, and why."""


@functools.cache
def shape(name: str) -> Model:
    return load_model(name, catalogue=CATALOGUE)


def test_all_models_are_there() -> None:
    assert set(IDS) == {path.stem for path in (ROOT / "model_db").glob("*/*.toml")}
    aliases = [alias for record in CATALOGUE.records("model") for alias in record.data.get("aliases", ())]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(IDS)
    assert shape("deepseek-v3.1").id == "deepseek-v3"
    assert shape("glm-4.6").id == "glm-4.5"


@pytest.mark.parametrize("name", IDS)
def test_every_model_parses_with_provenance_and_precisions(name: str) -> None:
    record = CATALOGUE.record("model", name)
    model = shape(name)
    assert {quantity.kind for quantity in record.quantities.values()} <= set(KINDS)
    assert all(quantity.sources for quantity in record.quantities.values())
    assert record.data.get("hugging_face_ids"), "name the repositories whose shape it is"
    assert 0 < model.active_params < model.total_params
    assert model.published_weight_bytes > 0
    assert model.kv_bytes(8192, 2) >= 0
    assert model.kv_bytes_per_token(2) > 0
    assert model.decode_flops_per_token(1) > 2 * model.active_params


def _stating(key: str) -> list[str]:
    """Return the models whose maker, or anybody, states a figure."""
    return [name for name in IDS if key in shape(name).quantities]


@pytest.mark.parametrize("name", _stating("total_params_published_billion"))
def test_count_meets_the_published_total(name: str) -> None:
    published = shape(name).quantities["total_params_published_billion"]
    bound, _ = TOTAL_EXCEPTIONS.get(name, (0.01 if isinstance(published.value, float) else 0.04, ""))
    error = abs(shape(name).total_params / (published.value * 1e9) - 1)
    assert error <= bound
    if name in TOTAL_EXCEPTIONS:
        assert error > 0.04, "no exception any more"


def test_few_models_are_without_a_stated_figure() -> None:
    assert len(IDS) - len(_stating("total_params_published_billion")) == 3
    assert len(IDS) - len(_stating("active_params_published_billion")) == 3


@pytest.mark.parametrize("name", _stating("active_params_published_billion"))
def test_count_meets_the_published_active_parameters(name: str) -> None:
    published = shape(name).quantities["active_params_published_billion"]
    bound, _ = ACTIVE_EXCEPTIONS.get(name, (0.08, ""))
    error = abs(shape(name).active_params / (published.value * 1e9) - 1)
    assert error <= bound
    if name in ACTIVE_EXCEPTIONS:
        assert error > 0.08, "no exception any more"


@pytest.mark.parametrize(
    ("name", "rest", "checkpoint"),
    [
        # layer norms, and one at the end
        ("mixtral-8x7b", 32 * 2 * 4096 + 4096, 46_702_792_704),
        # layer norms, norms of queries and keys
        ("qwen3-30b-a3b", 48 * (2 * 2048 + 2 * 128) + 2048, 30_532_122_624),
        ("qwen3-235b-a22b", 94 * (2 * 4096 + 2 * 128) + 4096, 235_093_634_560),
        # layer norms, norms of both latents, the routing bias
        ("deepseek-v3", 61 * (2 * 7168 + 1536 + 512) + 7168 + 58 * 256, 671_026_419_200),
        # norms, biases of projections, router and experts, attention sinks
        (
            "gpt-oss-120b",
            36 * (2 * 2880 + 80 * 64 + 2880 + 64 + 128 + 128 * 3 * 2880) + 2880,
            116_829_156_672,
        ),
    ],
)
def test_count_with_norms_and_biases_is_the_checkpoint(name: str, rest: int, checkpoint: int) -> None:
    """Parameters in the published checkpoints, to the last one; tolerance none."""
    assert shape(name).total_params + rest == checkpoint


@needs_raw
def test_raw_catalogue_is_covered_and_agrees() -> None:
    """Totals within 0.5 %, active within 2 % of the raw tables' own count; exceptions one by one."""
    exceptions = {
        "snowflake-arctic": "the raw table gives its dense branch 4864, the code hidden_size",
        "longcat-flash": "the raw table counts all twelve choices as real experts",
    }
    by_repository = {
        repository: record.id
        for record in CATALOGUE.records("model")
        for repository in record.data.get("hugging_face_ids", ())
    }
    rows = list(csv.DictReader(RAW.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 54
    for row in rows:
        repository = row["hf_id"].split(";")[0]
        name = "deepseek-v3.1" if repository.endswith("V3.1") else by_repository[repository]
        model = shape(name)
        if row["verified"] == "no":
            assert CATALOGUE.record("model", name).data["default_kind"] == "estimated"
        total, active = float(row["total_params_b_computed"]), float(row["active_params_b_computed"])
        if name in exceptions:
            assert model.active_params / 1e9 != pytest.approx(active, rel=0.02)
            continue
        assert model.total_params / 1e9 == pytest.approx(total, rel=0.005), name
        assert model.active_params / 1e9 == pytest.approx(active, rel=0.02, abs=0.05), name
        assert model.hidden_size == int(row["hidden_size"]), name
        assert model.dispatch_width == int(row["moe_dispatch_width"]), name
        assert model.moe_layers == int(row["n_moe_layers"]), name
        assert model.routed_experts == int(row["n_routed_experts"]), name
        assert model.top_k == int(row["top_k"]), name
        assert model.expert_intermediate == int(row["expert_intermediate"]), name


# Traps: shapes that tables and tools are known to get wrong.


@pytest.mark.parametrize(
    ("name", "width", "hidden"),
    [
        ("kimi-k3", 3584, 7168),
        ("nemotron-3-super-120b-a12b", 1024, 4096),
        ("nemotron-3-ultra-550b-a55b", 2048, 8192),
    ],
)
def test_latent_experts_dispatch_a_narrower_vector(name: str, width: int, hidden: int) -> None:
    model = shape(name)
    assert (model.dispatch_width, model.hidden_size) == (width, hidden)
    assert model.expert_params == model.expert_matrices * width * model.expert_intermediate
    assert model.params_by_part["latent"] == model.moe_layers * 2 * width * hidden


def test_experts_of_two_matrices() -> None:
    for name in IDS:
        assert shape(name).expert_matrices == (2 if name.startswith("nemotron") else 3), name
    nano = shape("nemotron-3-nano-30b-a3b")
    assert nano.params_by_part["shared_experts"] == 23 * 2 * 2688 * 3712


@pytest.mark.parametrize(
    ("name", "layers", "attention", "moe", "dense"),
    [
        ("nemotron-3-nano-30b-a3b", 52, 29, 23, 0),
        ("nemotron-3-super-120b-a12b", 88, 48, 40, 0),
        ("longcat-flash", 28, 56, 28, 56),
        ("llama-4-maverick", 48, 48, 24, 24),
        ("llama-4-scout", 48, 48, 48, 0),
        ("step-3", 61, 61, 56, 5),
        ("jamba-v0.1", 32, 32, 16, 16),
        ("deepseek-v3", 61, 61, 58, 3),
    ],
)
def test_what_a_layer_is_differs(name: str, layers: int, attention: int, moe: int, dense: int) -> None:
    model = shape(name)
    assert (model.layers, model.attention_layers, model.moe_layers, model.dense_layers) == (
        *(layers, attention, moe, dense),
    )


def test_experts_that_compute_nothing_take_their_share_of_the_choices() -> None:
    model = shape("longcat-flash")
    assert (model.routed_experts, model.zero_experts, model.top_k) == (512, 256, 12)
    assert model.mean_top_k == 8
    assert model.params_by_part["router"] == 28 * 6144 * 768
    assert shape("deepseek-v3").mean_top_k == 8


@pytest.mark.parametrize(
    ("name", "width"), [("snowflake-arctic", 7168), ("grok-2", 32768), ("gemma-4-26b-a4b", 2112)]
)
def test_dense_branches_beside_the_experts_count_as_shared(name: str, width: int) -> None:
    model = shape(name)
    assert (model.shared_experts, model.shared_expert_intermediate) == (1, width)
    assert model.dense_layers == 0


@pytest.mark.parametrize(
    ("name", "groups", "chosen"),
    [
        ("deepseek-v3", 8, 4),
        ("deepseek-v3.2", 8, 4),
        ("deepseek-v2", 8, 3),
        ("kimi-k2", 1, 1),
        ("glm-5", 1, 1),
    ],
)
def test_routing_is_limited_to_groups_only_where_it_is(name: str, groups: int, chosen: int) -> None:
    assert (shape(name).expert_groups, shape(name).groups_per_token) == (groups, chosen)


def test_hash_routing_and_residual_streams() -> None:
    for name in ("deepseek-v4-pro", "deepseek-v4-flash"):
        model = shape(name)
        assert (model.hash_routed_layers, model.top_k, model.residual_streams) == (3, 6, 4)
        assert model.dispatch_width == model.hidden_size


def test_class_defaults_are_not_checkpoints() -> None:
    assert shape("olmoe-1b-7b").expert_intermediate == 1024
    assert (shape("deepseek-v2").hidden_size, shape("deepseek-v2").layers) == (5120, 60)
    for name in ("glm-5", "glm-5.2"):
        assert {(kind.head_dim, kind.value_head_dim) for kind in shape(name).attention} == {(192, 256)}


def test_wrong_third_party_dimensions_stayed_out() -> None:
    large = shape("mistral-large-3")
    assert (large.hidden_size, large.layers) == (7168, 61)
    assert shape("snowflake-arctic").layers == 35
    assert shape("deepseek-v2").top_k == shape("deepseek-v2-lite").top_k == 6
    assert shape("qwen3-30b-a3b").expert_intermediate == 768


# Attention mixes


def _cache(name: str, context: int) -> float:
    return float(shape(name).kv_bytes(context, 2))


def test_kv_bytes_of_full_attention_grow_with_every_token() -> None:
    assert shape("deepseek-v3").kv_bytes_per_token(2) == 61 * 576 * 2
    assert _cache("deepseek-v3", 4096) == 4096 * 61 * 576 * 2
    assert shape("qwen3-235b-a22b").kv_bytes_per_token(2) == 94 * 2 * 4 * 128 * 2


def test_windows_bound_the_cache() -> None:
    full, sliding = 18 * 2 * 8 * 64 * 2, 18 * 2 * 8 * 64 * 2
    assert _cache("gpt-oss-120b", 100) == 100 * (full + sliding)
    assert _cache("gpt-oss-120b", 10_000) == 10_000 * full + 128 * sliding
    mimo = {kind.name: kind for kind in shape("mimo-v2-flash").attention}
    assert mimo["full"].cached_elements(1000) == 1000 * 4 * (192 + 128)
    assert mimo["sliding"].cached_elements(1000) == 128 * 8 * (192 + 128)


def test_hybrids_cache_only_in_their_attention_layers() -> None:
    assert shape("jamba-v0.1").kv_bytes_per_token(2) == 4 * 2 * 8 * 128 * 2
    assert shape("minimax-m1").kv_bytes_per_token(2) == 10 * 2 * 8 * 128 * 2
    linear = next(kind for kind in shape("qwen3-next-80b-a3b").attention if kind.constant_state)
    assert linear.state_elements == 32 * 128 * 128 + 3 * (2 * 16 * 128 + 32 * 128)
    assert linear.cached_elements(1e6) == 0
    assert shape("qwen3-next-80b-a3b").state_bytes() == 36 * linear.state_elements * 4
    assert shape("deepseek-v3").state_bytes() == 0


def test_layers_that_borrow_a_cache_store_none_but_read_it() -> None:
    model = shape("hunyuan-large")
    own, borrowed = model.attention
    assert model.kv_bytes_per_token(2) == 32 * 2 * 8 * 80 * 2
    assert borrowed.cached_elements(100) == 0
    assert borrowed.read_elements(100) == own.read_elements(100) > 0
    assert own.parameters(6400) - borrowed.parameters(6400) == 2 * 6400 * 8 * 80


def test_a_shared_index_has_no_weights_and_no_keys() -> None:
    own, borrowed = shape("glm-5.2").attention
    assert (own.layers, borrowed.layers) == (21, 57)
    assert own.cached_elements_per_token == borrowed.cached_elements_per_token == 576
    assert (own.index_bytes_per_token, borrowed.index_bytes_per_token) == (132, 0)
    assert shape("glm-5.2").kv_bytes_per_token(2) == 78 * 576 * 2 + 21 * 132
    assert own.attended_entries(1e6) == borrowed.attended_entries(1e6) == 2048
    assert own.core_flops(1e6) > 10 * borrowed.core_flops(1e6)


@pytest.mark.parametrize("cache", [0.5, 1.0, 2.0])
def test_index_keys_have_a_precision_of_their_own(cache: float) -> None:
    """DeepGEMM's paged logits read keys of 128 fp8 elements and an fp32 scale: 132 B, whatever the cache."""
    model = shape("deepseek-v3.2")
    assert model.index_bytes_per_token == 61 * 132
    assert model.kv_bytes_per_token(cache) == 61 * (576 * cache + 132)
    assert model.kv_bytes(163_840, cache) == 163_840 * model.kv_bytes_per_token(cache)
    assert model.kv_read_bytes(163_840, cache) == 61 * (2048 * 576 * cache + 163_840 * 132)
    wide = load_model("deepseek-v3.2", overrides={"attention.sparse.index_head_dim": 192})
    assert wide.index_bytes_per_token == 61 * (192 + 2 * 4)  # a scale for each 128 elements begun


def test_keys_that_serve_as_values_save_a_matrix_not_a_cache() -> None:
    full = next(kind for kind in shape("gemma-4-26b-a4b").attention if kind.key_is_value)
    assert full.parameters(2816) == 2816 * 512 * (2 * 16 + 2)
    assert full.cached_elements_per_token == 2 * 2 * 512


def test_block_sparse_attention_reads_its_blocks_and_the_whole_index() -> None:
    sparse = next(kind for kind in shape("minimax-m3").attention if kind.index_heads)
    assert (sparse.layers, sparse.attended_entries(100_000)) == (57, 2048)
    assert sparse.read_elements(100_000) == 2048 * 2 * 4 * 128
    assert sparse.index_bytes(100_000) == 100_000 * 128 * 2  # its index stays in bf16


def test_compressed_history() -> None:
    kinds = {kind.name: kind for kind in shape("deepseek-v4-flash").attention}
    assert {name: kind.layers for name, kind in kinds.items()} == {
        "window": 2,
        "compressed-4": 21,
        "compressed-128": 20,
    }
    context = 12_800
    assert kinds["window"].cached_elements(context) == 128 * 512
    assert kinds["compressed-128"].cached_elements(context) == (128 + 100) * 512
    assert kinds["compressed-4"].cached_elements(context) == (128 + 3200) * 512
    assert kinds["compressed-4"].index_bytes(context) == 3200 * 132
    assert kinds["compressed-4"].attended_entries(context) == 128 + 512
    assert kinds["compressed-128"].attended_entries(context) == 128 + 100


def test_flops_of_a_token() -> None:
    """2 x active parameters, and core attention in absorbed form; DeepSeek-V3 at 4096 tokens."""
    model = shape("deepseek-v3")
    core = 61 * 2 * 128 * (576 + 512) * 4096
    assert model.decode_flops_per_token(4096) == 2 * model.active_params + core


def test_weight_bytes_by_precision() -> None:
    model = shape("gpt-oss-120b")
    experts = model.params_by_part["routed_experts"]
    assert model.weight_bytes(experts=2) == 2 * model.total_params
    assert model.published_weight_bytes == pytest.approx(
        experts * (0.5 + 1 / 32) + 2 * (model.total_params - experts)
    )
    assert model.weight_bytes(experts=1, others=2) == 2 * model.total_params - experts


def test_overrides_reach_attention_tables_and_new_keys() -> None:
    model = load_model(
        "gpt-oss-120b", overrides={"attention.sliding.window_tokens": 256, "zero_experts": 128}
    )
    assert model.attention[0].window_tokens == 256
    assert model.mean_top_k == 2


@pytest.mark.parametrize(
    ("model", "key", "says"),
    [
        (
            "llama-4-scout",
            "attention.chunked.window_tokens",
            "has chunk_tokens and window_tokens: one of both",
        ),
        ("gpt-oss-120b", "attention.sliding.chunk_tokens", "has chunk_tokens and window_tokens: one of both"),
        ("llama-4-scout", "attention.chunked.index_top_k", "has chunk_tokens and index_top_k: one of both"),
    ],
)
def test_chunks_exclude_windows_and_indices(model: str, key: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_model(model, overrides={key: 2048})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"top_k": 300}, "top_k 300 exceeds routed_experts 256"),
        ({"moe_layers": 62}, "moe_layers 62 exceeds layers 61"),
        ({"dispatch_width": 8000}, "dispatch_width 8000 exceeds hidden_size 7168"),
        ({"groups_per_token": 9}, "groups_per_token 9 exceeds expert_groups 8"),
        ({"expert_groups": 7}, "no multiple"),
        ({"groups_per_token": 1, "top_k": 40}, "32 experts"),
        ({"dens_layers": 3}, "did you mean 'dense_layers'"),
    ],
)
def test_contradicting_shapes_are_refused(changes: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_model("deepseek-v3", overrides=changes)


def test_a_record_has_no_more_hash_routed_layers_than_experts() -> None:
    text = (files("model_db") / "deepseek" / "deepseek-v4-flash.toml").read_text("utf-8")
    wrong = text.replace("hash_routed_layers = 3", "hash_routed_layers = 99")
    assert wrong != text
    with pytest.raises(InputError, match="hash_routed_layers 99 exceeds moe_layers"):
        model_of(parse_record(wrong.encode(), file="deepseek-v4-flash.toml"))


@pytest.mark.parametrize("key", unread_keys("model"))
def test_what_no_answer_depends_on_is_not_set(key: str) -> None:
    """A number that would change nothing is refused, with what does."""
    why = unread_keys("model")[key].partition(" --")[0]  # options beyond are named as arguments here
    with pytest.raises(InputError, match=re.escape(f"{key} changes no answer: {why}")):
        load_model("deepseek-v3", overrides={key: 3})


@pytest.mark.parametrize("key", unread_keys("system"))
def test_what_no_answer_depends_on_is_not_set_of_a_system(key: str) -> None:
    with pytest.raises(InputError, match=f"{key} changes no answer"):
        load_system("h800", overrides={key: 3})


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"top_k": 300}, "top_k 300 exceeds routed_experts 256"),
        ({"moe_layers": 62}, "moe_layers 62 exceeds layers 61"),
        ({"expert_groups": 7}, "no multiple of expert_groups 7"),
        ({"groups_per_token": 9}, "groups_per_token 9 exceeds expert_groups 8"),
        ({"dispatch_width": 8000}, "dispatch_width 8000 exceeds hidden_size 7168"),
    ],
)
def test_shapes_no_model_can_have(overrides: dict[str, float | str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_model("deepseek-v3", overrides=overrides)


def test_a_width_is_wanted_with_what_it_belongs_to() -> None:
    with pytest.raises(InputError, match="missing dense_intermediate, needed with dense_layers 2"):
        load_model("mixtral-8x7b", overrides={"dense_layers": 2})
    with pytest.raises(InputError, match="missing shared_expert_intermediate"):
        load_model("mixtral-8x7b", overrides={"shared_experts": 1})


def test_attention_tables_must_add_up_in_a_record() -> None:
    readme = (ROOT / "model_db" / "README.md").read_text(encoding="utf-8")
    example = readme.split("```toml\n")[1].split("```")[0].replace("layers = 36", "layers = 35")
    with pytest.raises(InputError, match=r"sliding\.layers 35, attention\.full\.layers 12 must add up to"):
        model_of(parse_record(example.encode(), file="example-moe.toml"))
    assert load_model("deepseek-v3", overrides={"layers": 70}).layers == 70


def test_a_field_of_another_type_of_attention_is_refused() -> None:
    readme = (ROOT / "model_db" / "README.md").read_text(encoding="utf-8")
    example = readme.split("```toml\n")[1].split("```")[0].replace("window_tokens", "kv_lora_rank")
    with pytest.raises(InputError, match=r"attention\.sliding: 'kv_lora_rank' is not valid"):
        parse_record(example.encode(), file="example-moe.toml")


def test_readme_example_parses() -> None:
    readme = (ROOT / "model_db" / "README.md").read_text(encoding="utf-8")
    example = readme.split("```toml\n")[1].split("```")[0]
    model = model_of(parse_record(example.encode(), file="example-moe.toml"))
    assert model.id == "example-moe"
    assert model.total_params / 1e9 == pytest.approx(
        model.quantities["total_params_published_billion"].value, rel=0.01
    )


def test_readme_explains_every_key() -> None:
    readme = (ROOT / "model_db" / "README.md").read_text(encoding="utf-8")
    missing = [
        key for record in ("model", "attention") for key in properties(record) if f"`{key}`" not in readme
    ]
    assert not missing
