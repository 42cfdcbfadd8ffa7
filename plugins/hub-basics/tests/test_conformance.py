"""The basic strategies keep what every strategy keeps."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from hub_core.testing import StrategyTests
from hub_core.testing.examples import BAD, GOOD, OTHER

SCRATCH = TemporaryDirectory(prefix="hub-basics-")


def tiny_bert():
    """Make a BERT of two layers, which has a pooling layer as the toys have none."""
    words = ["[PAD]", "[UNK]", *GOOD, *BAD, *OTHER]
    level = WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    fast = Tokenizer(level)
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="[PAD]", unk_token="[UNK]", model_max_length=24,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=24,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    with torch.no_grad():  # random weights of usual size hardly tell one word from another
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    folder = Path(SCRATCH.name) / "bert"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


class TestFull(StrategyTests):
    method = "hub-basics:full"


class TestHeadOnly(StrategyTests):
    method = "hub-basics:head-only"


class TestEncoderOnly(StrategyTests):
    method = "hub-basics:encoder-only"
    cases = ({}, {"probe_share": 0.6, "probe_learning_rate": 3e-2})


class TestEncoderOnlyOrthogonal(StrategyTests):
    method = "hub-basics:encoder-only"
    cases = ({"head": "orthogonal"},)
    head = "hub-classification:classification"
    training: ClassVar = {"learning_rate": 3e-3}


class TestLpFt(StrategyTests):
    method = "hub-basics:lp-ft"
    cases = ({}, {"probe_share": 0.6, "rate_factor": 1})


class TestTopLayers(StrategyTests):
    method = "hub-basics:top-layers"
    cases = ({}, {"layers": 1})


class TestOtherLayers(StrategyTests):
    method = "hub-basics:other-layers"
    cases: ClassVar = {
        "norms": {},
        "surgical": {"groups": ["surgical"], "batches": 2},
        "several": {"groups": ["embeddings", "attention", "feed-forward"], "layers": [1]},
    }


class TestBitFit(StrategyTests):
    method = "hub-basics:bitfit"
    cases = ({}, {"which": "query-and-up"})


class TestPooling(StrategyTests):
    method = "hub-basics:pooling"
    head = "hub-classification:classification"
    backbone: ClassVar = {"name": "transformers", "model": tiny_bert(), "pooling": "pooler"}
