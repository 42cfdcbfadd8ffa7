"""Where things are in the encoders of transformers that this plugin knows."""

from __future__ import annotations

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from hub_core.declare import Layout
from hub_core.errors import IncompatibleError

FAMILIES: dict[str, dict[str, str]] = {
    "bert": {
        "attention.self.query": "query",
        "attention.self.key": "key",
        "attention.self.value": "value",
        "attention.output.dense": "attention-out",
        "intermediate.dense": "up",
        "output.dense": "down",
    },
    "distilbert": {
        "attention.q_lin": "query",
        "attention.k_lin": "key",
        "attention.v_lin": "value",
        "attention.out_lin": "attention-out",
        "ffn.lin1": "up",
        "ffn.lin2": "down",
    },
    "modernbert": {
        "attn.Wqkv": "qkv",
        "attn.Wo": "attention-out",
        "mlp.Wi": "up",
        "mlp.Wo": "down",
    },
}
"""Model type to the role of each linear layer inside a layer."""
FAMILIES["roberta"] = FAMILIES["xlm-roberta"] = FAMILIES["bert"]


def check_type(model_type: str) -> None:
    """Refuse model types that this plugin does not know.

    Raises:
        IncompatibleError: The type is told, and those that are known.
    """
    if model_type not in FAMILIES:
        raise IncompatibleError(
            f"models of type '{model_type}' are not supported by the backbone transformers",
            hint=f"supported types: {', '.join(sorted(FAMILIES))}",
        )


def layout_of(body: PreTrainedModel) -> Layout:
    """Return the layout of a body; paths are relative to the backbone that holds it."""
    config = body.config
    stack = next(
        name
        for name, module in body.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers
    )
    layers = tuple(f"body.{stack}.{number}" for number in range(config.num_hidden_layers))
    roles = FAMILIES[config.model_type]
    linears = {f"{layer}.{name}": role for layer in layers for name, role in roles.items()}
    words = next(n for n, m in body.named_modules() if m is body.get_input_embeddings())
    pooler = "" if getattr(body, "pooler", None) is None else "body.pooler"
    return Layout(layers, linears, f"body.{words}", config.hidden_size, positions(config), pooler)


def positions(config: PretrainedConfig) -> int:
    """Return the longest input in tokens; RoBERTa counts positions from its padding id on."""
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return int(config.max_position_embeddings) - offset
