"""Open a published adapter with transformers and peft alone, as somebody without hub-core would.

    HF_ENDPOINT=... python examples/plain_peft.py demo/movie-sentiment "A fine film."

The adapter is in the two files that PEFT knows; the head is one linear layer over the mean of the
hidden states, in a safetensors file beside it; its labels are in hub.json. Where the artifact is
served in int8, as in the demo, probabilities here differ a little: this is float32.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import transformers
from huggingface_hub import hf_hub_download
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer


def main(name: str, texts: list[str]) -> None:
    """Print the most probable label of each text."""
    transformers.utils.logging.disable_progress_bar()
    place = PeftConfig.from_pretrained(name)
    base = AutoModel.from_pretrained(place.base_model_name_or_path, revision=place.revision)
    tokenizer = AutoTokenizer.from_pretrained(
        place.base_model_name_or_path, revision=place.revision
    )
    model = PeftModel.from_pretrained(base, name).eval()
    content = json.loads(Path(hf_hub_download(name, "hub.json")).read_text("utf-8"))
    [(task, entry)] = content["tasks"].items()
    head = load_file(hf_hub_download(name, f"head.{task}.safetensors"))
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**inputs).last_hidden_state  # (B, T, D)
        mask = inputs["attention_mask"][..., None]
        vector = (hidden * mask).sum(1) / mask.sum(1)  # (B, D)
        scores = vector @ head[f"heads.{task}.output.weight"].T + head[f"heads.{task}.output.bias"]
    for text, row in zip(texts, scores.softmax(1), strict=True):
        best = int(row.argmax())
        print(f"{entry['labels'][best]:9} {row[best]:.4f}  {text}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or ["A warm, funny and deeply moving film."])
