"""Tiny random models of the families that the transformers backbone knows, with real tokenizers.

Two layers of width 32 and about 120 words; a folder of each holds what the Hub's folders hold:
``config.json``, ``model.safetensors`` and the tokenizer's files.
"""

import string
from pathlib import Path

import torch
import toydata
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel, WordPiece
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

FAMILIES = ("bert", "distilbert", "roberta", "xlm-roberta", "modernbert")
ROBERTAS = ("roberta", "xlm-roberta")
LONGEST = 40
"""Tokens that every tiny model reads at most."""
HIDDEN = 32

SPECIAL = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "roberta": ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
}
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": HIDDEN,
         "intermediate_size": 64}  # fmt: skip
CONFIGS = {
    "bert": {**SIZES, "max_position_embeddings": LONGEST, "pad_token_id": 0},
    "distilbert": {"n_layers": 2, "n_heads": 2, "dim": HIDDEN, "hidden_dim": 64,
                   "max_position_embeddings": LONGEST, "pad_token_id": 0},
    "roberta": {**SIZES, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1,
                "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "modernbert": {**SIZES, "max_position_embeddings": LONGEST, "pad_token_id": 0,
                   "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3,
                   "global_attn_every_n_layers": 2, "local_attention": 8},
}  # fmt: skip
CONFIGS["xlm-roberta"] = CONFIGS["roberta"]


def words():
    """Return the words of the toy data, letters, digits and pieces of words: about 115."""
    own = [*toydata.GOOD, *toydata.BAD, *toydata.OTHER, "|", "film", "day", "none"]
    letters = [*string.ascii_lowercase, *string.digits]
    pieces = [f"##{letter}" for letter in letters]
    return list(dict.fromkeys([*own, *letters, *pieces, *".,!?"]))


def tokenizer(family):
    """Return a fast tokenizer: WordPiece as BERT has it, or WordLevel with RoBERTa's template."""
    like = "roberta" if family in ROBERTAS else "bert"
    special = SPECIAL[like]
    vocabulary = {word: number for number, word in enumerate([*special, *words()])}
    if like == "bert":
        pad, unknown, start, end, mask = special
        fast = Tokenizer(WordPiece(vocabulary, unk_token=unknown))
        template = {"single": f"{start} $A {end}", "pair": f"{start} $A {end} $B:1 {end}:1"}
    else:
        start, pad, end, unknown, mask = special
        fast = Tokenizer(WordLevel(vocabulary, unk_token=unknown))
        template = {"single": f"{start} $A {end}", "pair": f"{start} $A {end} {end} $B {end}"}
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    numbers = [(token, vocabulary[token]) for token in (start, end)]
    fast.post_processor = processors.TemplateProcessing(**template, special_tokens=numbers)
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        mask_token=mask,
        model_max_length=LONGEST,
        model_input_names=["input_ids", "attention_mask"]
        + (["token_type_ids"] if family == "bert" else []),
    )


def save(family, folder, seed=0, **config):
    """Save a tiny model of a family and return its folder.

    Args:
        family: One of ``FAMILIES``.
        folder: Where it goes.
        seed: Which random weights it has.
        config: Values that differ from the tiny configuration.
    """
    folder = Path(folder)
    words_of = tokenizer(family)
    values = {**CONFIGS[family], "vocab_size": len(words_of), **config}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(AutoConfig.for_model(family, **values))
    with torch.no_grad():  # random weights of usual size hardly tell one word from another
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)
    words_of.save_pretrained(folder)
    return folder


def recipe(folder, *, options=None, **parts):
    """Return ``toydata.recipe`` over the transformers backbone in a folder."""
    backbone = {"name": "transformers", "model": str(folder), **(options or {})}
    return toydata.recipe(backbone=backbone, **parts)
