"""The methods of PEFT that are read, and the keys of ``adapter_config.json`` that belong to each.

Keys are here because they are plain numbers, words and names of modules that PEFT only computes
with. Whatever chooses files, code or other models is not, and neither is how training began.
"""

from __future__ import annotations

from collections.abc import Mapping

_PLACED = "exclude_modules layers_to_transform layers_pattern fan_in_fan_out bias "
_PROMPT = "num_virtual_tokens token_dim num_transformer_submodules num_attention_heads num_layers "
_LORA = (
    f"{_PLACED} lora_alpha lora_dropout use_rslora use_dora rank_pattern alpha_pattern lora_bias "
    "trainable_token_indices target_parameters ensure_weight_tying init_lora_weights "
)
_SHAPED = "alpha rank_pattern alpha_pattern rank_dropout module_dropout use_effective_conv2d "
_ROTATED = "module_dropout oft_block_size coft eps block_share use_cayley_neumann "

METHODS: Mapping[str, frozenset[str]] = {
    name: frozenset(keys.split())
    for name, keys in {
        "LORA": _LORA,
        "IA3": f"{_PLACED} feedforward_modules",
        "LN_TUNING": _PLACED,
        "LOHA": f"{_PLACED} {_SHAPED}",
        "LOKR": f"{_PLACED} {_SHAPED} rank_dropout_scale decompose_both decompose_factor",
        "VERA": f"{_PLACED} projection_prng_key save_projection vera_dropout d_initial",
        "OFT": f"{_PLACED} {_ROTATED} num_cayley_neumann_terms",
        "BOFT": f"{_PLACED} boft_block_size boft_block_num boft_n_butterfly_factor boft_dropout",
        "HRA": f"{_PLACED} apply_GS",
        "PROMPT_TUNING": _PROMPT,
        "P_TUNING": f"{_PROMPT} encoder_reparameterization_type encoder_hidden_size "
        "encoder_num_layers encoder_dropout",
        "PREFIX_TUNING": f"{_PROMPT} encoder_hidden_size prefix_projection",
    }.items()
}
"""Method to the keys that may be read of it."""

STARTS = frozenset({True, False, "gaussian", "orthogonal"})
"""Ways in which LoRA may have begun; all others changed the base model's own weights."""
CHANGING = frozenset(
    {
        "alora_invocation_tokens",
        "arrow_config",
        "kasa_config",
        "layer_replication",
        "monteclora_config",
        "use_bdlora",
        "use_qalora",
        "velora_config",
    }
)
"""Keys that, if they say something, make PEFT compute something else than is read here."""
QUIET = frozenset(
    {
        "init_ia3_weights",
        "init_weights",
        "prompt_tuning_init",
        "prompt_tuning_init_text",
        "qalora_group_size",
    }
)
"""Keys that are not read and change nothing: how training began, and defaults of what is off."""
