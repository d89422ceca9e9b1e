"""Refuses words and turns of phrase that the project does not use, in the package and its pages; names better ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "src/unisono/**/*")
SUFFIXES = {".py", ".md", ".html", ".css", ".js"}

WORDS = {
    # coined words: the name a paper or a library would use
    r"voices?": "style, preprocessor",
    r"votes?|voted|voting": "weight",
    r"temper|tempers|tempered|tempering": "log-odds shrinkage, shrunk",
    r"settles?|settled|settling": "model selection, selected",
    r"contenders?": "method",
    r"line_?ups?": "select_methods",
    r"apprais\w+": "evaluation",
    r"blueprints?|made_of": "InitialWeights, initial weights",
    r"rivals?": "SimilarityPair, other cells",
    r"exams?": "tasks",
    r"judges?": "validation, score",
    r"optimism": "loo_shrinkage, as left out",
    r"believed": "shrinkage_factor, shrunk",
    r"presence": "unmatched_probability",
    r"drivers?": "feature_effects, effects",
    r"tuning": "moment alignment",
    r"worth_showing|telling": "select_examples, informative",
    r"only_modality|require_middle|names_of": "infer_modality, validate_via, modalities_in",
    r"source_mark": "source_hash",
    r"without_parts": "ablations",
    r"(?-i:FEWEST|MOST|LEAST|ENOUGH|_?CELLS_ENOUGH)_?[A-Z]*": "MIN_ or MAX_",
    r"of_(?:pair|kernel|network)": "kernel_codes, network_codes",
    r"company": "closed-form terms",
    r"(?-i:Reading|Route|Feed|Round|Evidence|Swap|Choices|Tuning|LineUp)": "StandardisedCodes, Fold, ...",
    r"omics": "modality, modalities",
    # turns of phrase
    r"beside": "alongside, in addition to, next to",
    r"(?:is|are|be|was|were) wanted": "expected",
    r"unless told": "by default",
    r"say (?:a number|which is which|rna,|some of|one of)": "pass, name",
    r"known to be sound": "validated",
    r"for all one knows|before looking": "prior",
    r"gone on with|goes on where|go on where": "resumed",
    r"of no account": "ignored",
    r"at its word": "as given",
    r"probability of accessible": "probability of being accessible",
    r"nonsense|loses in": "is outperformed on",
    r"(?:one|entries|partners|counts|values) a (?!time|day|look)[a-z]+": "per",
    r"rid of": "avoid",
}
"""Pattern, matched whole and in any case, and what to write instead."""

ALLOWED = re.compile(r"voice conversion|multi-?omics|single-cell omics", re.IGNORECASE)
"""Titles of papers and names of the field."""

_FIRST_PARAGRAPH = re.compile(r"\A# Unisono\n\n.*?\n\n", re.DOTALL)
_ANY = "|".join(f"(?P<w{i}>{word})" for i, word in enumerate(WORDS))
_WORD = re.compile(rf"(?<![A-Za-z])(?:{_ANY})(?![A-Za-z])", re.IGNORECASE)


def hits(text: str) -> list[tuple[int, str, str]]:
    """Line, word and what to write instead, of every refused word but those in the README's first paragraph."""
    text = _FIRST_PARAGRAPH.sub(lambda match: "\n" * match[0].count("\n"), text)
    instead = list(WORDS.values())
    return [
        (number, match[0], instead[int(str(match.lastgroup)[1:])])
        for number, line in enumerate(text.split("\n"), start=1)
        for match in _WORD.finditer(ALLOWED.sub("", line))
    ]


def files() -> list[Path]:
    """Everything that is read."""
    return sorted({path for page in PAGES for path in ROOT.glob(page) if path.suffix in SUFFIXES})


def main() -> int:
    """Print every hit; the exit status is 1 where there is one."""
    n_hits = 0
    for path in files():
        for number, word, instead in hits(path.read_text(encoding="utf-8")):
            n_hits += 1
            print(f"{path.relative_to(ROOT)}:{number}: {word!r}: use {instead}")
    return int(n_hits > 0)


if __name__ == "__main__":
    sys.exit(main())
