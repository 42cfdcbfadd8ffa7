"""Every position knows its word, whatever the tokenizer, so that weights can be shown by word."""

import pytest
import tinymodels
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram
from transformers import PreTrainedTokenizerFast

from hub_core.part import Context
from hub_transformers.backbone import TransformersBackbone
from hub_transformers.options import TransformersOptions
from hub_transformers.words import words_of


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: tinymodels.save(name, root / name) for name in ("bert", "roberta")}


def load(folder, **options):
    options = TransformersOptions(model=str(folder), **options)
    return TransformersBackbone.load(options, Context(empty=True))


def texts_of(words, *texts):
    """Return each position's word as text."""
    return [place and texts[place[0]][place[1] : place[2]] for place in words]


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("text", ["a fine day", "", "  This   was,fine!  ", "sour\nday\t. 😀 è"])
def test_there_is_a_word_or_none_for_each_token(models, family, text):
    backbone = load(models[family])
    [tokens] = backbone.tokenize([text])
    [words] = backbone.words([text])
    assert len(words) == len(tokens.inputs["input_ids"])
    assert words[0] is words[-1] is None  # the template's tokens are no words


def test_pieces_of_a_word_are_one_word_as_it_stands_in_the_text(models):
    text = "A  finest Day, it was"
    [words] = load(models["bert"]).words([text])
    expected = [None, "A", *["finest"] * 3, "Day", ",", "it", "was", None]
    assert texts_of(words, text) == expected
    assert words[2:5] == [(0, 3, 9)] * 3


def test_equal_words_at_different_places_are_different_words(models):
    [words] = load(models["bert"]).words(["fine fine"])
    assert words == [None, (0, 0, 4), (0, 5, 9), None]


@pytest.mark.parametrize(("family", "between"), [("bert", 1), ("roberta", 2)])
def test_both_texts_of_a_pair_are_told_apart(models, family, between):
    [words] = load(models[family]).words(["a day"], ["it was a day"])
    assert words == [
        None, (0, 0, 1), (0, 2, 5), *[None] * between,
        (1, 0, 2), (1, 3, 6), (1, 7, 8), (1, 9, 12), None,
    ]  # fmt: skip


def test_what_is_cut_has_no_place_and_a_word_that_is_cut_ends_there(models):
    backbone = load(models["bert"], max_length=6)
    text = "a day finest"
    [words] = backbone.words([text])
    assert texts_of(words, text) == [None, "a", "day", "fines", "fines", None]
    assert len(backbone.tokenize([text])[0].inputs["input_ids"]) == len(words) == 6


def test_texts_are_told_in_their_order_and_none_gives_none(models):
    backbone = load(models["bert"])
    texts = ["a", "a fine day", "it"]
    assert backbone.words(texts) == [backbone.words([text])[0] for text in texts]
    assert backbone.words([]) == []


def test_a_blank_that_belongs_to_a_token_is_no_part_of_its_word():
    """Byte-level tokens and those of sentence pieces begin with the blank before them."""
    byte_level = Tokenizer(BPE({letter: n for n, letter in enumerate("abcĠ")}, []))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.post_processor = processors.ByteLevel(trim_offsets=False)
    pieces = Tokenizer(Unigram([("<unk>", 0.0), ("▁", -1.0), ("▁ab", -1.0), ("c", -1.0)], 0))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    for tokenizer in (byte_level, pieces):
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
        text = "ab  abc c "
        [encoding] = fast([text]).encodings
        found = texts_of(words_of(encoding, [text]), text)
        assert {word for word in found if word} == {"ab", "abc", "c"}
        assert len(found) == len(encoding.ids)
