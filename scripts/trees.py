#!/usr/bin/env python3
"""Trees of files to back up, made from a seed.

trees.py uploads DIR --files 3000 --bytes 60M     as customers and scanners upload them
trees.py texts   DIR --files 50000                a tree of small texts, like sources
"""

import argparse
import itertools
import random
import sys
from pathlib import Path

from shop import COLOURS, LAST_NAMES, THINGS, bytes_of

SCANS = ("jpg", "pdf", "png")
LISTS = ("csv", "txt")


def uploads(root, files, bytes_wanted, seed=1):
    """About 80 % of the bytes are photos and scans (incompressible), the rest are price lists.

    One file in twenty repeats an earlier one. Sizes are log-normal: many thumbnails, few posters.
    """
    rng = random.Random(f"uploads {seed}")
    shares = [rng.lognormvariate(0, 1.3) for _ in range(files)]
    bytes_per_share = bytes_wanted / sum(shares)
    recent = []
    for number, share in enumerate(shares):
        bytes_of_file = max(1, int(share * bytes_per_share))
        if recent and rng.random() < 0.05:
            kind, content = rng.choice(recent)
        elif rng.random() < 0.8:
            kind, content = rng.choice(SCANS), rng.randbytes(bytes_of_file)
        else:
            kind, content = rng.choice(LISTS), price_list(rng, bytes_of_file)
        # Only recent files are repeated, which bounds the memory.
        recent = [*recent[-50:], (kind, content)]
        shelf = "products" if number % 3 else "receipts"
        folder = Path(root, shelf, str(2020 + number % 7), f"{number // 7 % 120:03}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}.{kind}").write_bytes(content)


def price_list(rng, bytes_wanted):
    """Text of that length: a line for each article, with numbers that nobody could guess."""
    lines, length = [], 0
    while length < bytes_wanted:
        article = f"{rng.choice(COLOURS)} {rng.choice(THINGS)};{rng.choice(LAST_NAMES)}"
        price, stock = rng.randrange(10**5) / 100, rng.randrange(500)
        lines.append(f"{rng.randrange(10**6):06};{article};{price:.2f};in stock: {stock}\n")
        length += len(lines[-1])
    return "".join(lines).encode()[:bytes_wanted]


def texts(root, files, seed=1):
    """Small texts, 3.5 KB on average, of words as unevenly frequent as in sources and letters."""
    rng = random.Random(f"texts {seed}")
    words = [made_up_word(rng) for _ in range(6000)]
    # Zipf's law: the n-th word is n times rarer than the first.
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    for number in range(files):
        count = max(5, int(rng.lognormvariate(5.9, 0.9)))
        text = rng.choices(words, cum_weights=weights, k=count)
        lines = (" ".join(text[start : start + 11]) for start in range(0, count, 11))
        folder = Path(root, f"{number // 2500:02}", f"{number // 50 % 50:02}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{text[0]}-{number:05}.txt").write_text("\n".join(lines) + "\n")


def made_up_word(rng):
    syllables = (
        rng.choice("bcdfglmnprstv") + rng.choice("aeiou") for _ in range(rng.randint(1, 4))
    )
    return "".join(syllables) + rng.choice(["", "", "n", "s", "_id"])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("uploads", "texts"))
    parser.add_argument("folder")
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--bytes", type=bytes_of, default=60 * 10**6, help="of uploads")
    arguments = parser.parse_args()
    if arguments.kind == "uploads":
        uploads(arguments.folder, arguments.files, arguments.bytes)
    else:
        texts(arguments.folder, arguments.files)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
