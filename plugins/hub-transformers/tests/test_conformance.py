"""The transformers backbone keeps what every backbone keeps, on tiny random models."""

import string
from typing import ClassVar

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from hub_core.testing import BackboneTests

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ["good", "bad", "fine", "warm", "sweet", "dull", "cold", "sour", "film", "day", "the", "a",
         "very", "this", "was", "it"]  # fmt: skip
LETTERS = [*string.ascii_lowercase, *string.digits]
SIZES = {"bert": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32,
                  "intermediate_size": 64},
         "distilbert": {"n_layers": 2, "n_heads": 2, "dim": 32, "hidden_dim": 64},
         "modernbert": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32,
                        "intermediate_size": 64, "global_attn_every_n_layers": 2,
                        "local_attention": 8, "bos_token_id": 2, "cls_token_id": 2,
                        "eos_token_id": 3, "sep_token_id": 3}}  # fmt: skip


def tokenizer():
    entries = [*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *".,!|"]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(entries))}
    fast = Tokenizer(WordPiece(numbers, unk_token="[UNK]"))
    fast.normalizer, fast.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=40,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def tiny(family, **options):
    """Return a function that makes a model in a folder and returns the options that name it."""

    def make(folder):
        words = tokenizer()
        config = AutoConfig.for_model(
            family, vocab_size=len(words), max_position_embeddings=40, pad_token_id=0,
            **SIZES[family],
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = AutoModel.from_config(config)
        with torch.no_grad():  # random weights of usual size hardly tell one word from another
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4)
        model.save_pretrained(folder / "model")
        words.save_pretrained(folder / "model")
        return {"model": str(folder / "model"), **options}

    return make


class TestTransformers(BackboneTests):
    method = "hub-transformers:transformers"
    cases: ClassVar = {
        "bert": tiny("bert"),
        "short": tiny("distilbert", max_length=16, pooling="first"),
        "modernbert": tiny("modernbert"),
    }
