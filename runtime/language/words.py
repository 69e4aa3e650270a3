"""Words out of identifiers and comments, made comparable across Indonesian and English.

An identifier is split, and each word becomes a concept: the line of the glossary that it is on, or
else a skeleton of itself, by which words that both languages took from a third one are alike
(`vaksinasi`, `vaccination`). Indonesian affixes are only stripped as far as a glossary word comes
out: without a dictionary of roots, stripping blindly makes one word of two. docs/adr/0022 says why
no stemmer is used.

Pure, and deterministic: the same name always gives the same concepts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rapidfuzz.distance import DamerauLevenshtein

from runtime.language.glossary import GLOSSARY

# How much each kind of word tells of what a contract is about.
SUBJECT_WEIGHT: Final = 1.0
ORDINARY_WEIGHT: Final = 0.25
VERB_WEIGHT: Final = 0.15

# A word of a name is taken for a misspelt glossary word if it is this long and one edit away.
_MISSPELT_CHARS: Final = 7
MAX_PHRASE_WORDS: Final = 3
_LONGEST_WORD: Final = 64
# Names of people's making have a handful: what is compared piece by piece must end.
_LONGEST_IDENTIFIER: Final = 256
_MOST_PIECES: Final = 16
_REMEMBERED: Final = 65_536

# Said of everything, in names and in comments: they tell nothing.
_EMPTY: Final = frozenset(
    """
    a an and are as be by can each for had has have if in into is it its not of on one only or so
    that the their them there these they this those was were what when where which who whose with
    within would empty set given example must may
    yang dan di ke untuk pada dengan atau ini itu adalah oleh dalam juga agar bila jika sebagai
    satu tiap setiap suatu para akan sudah belum tidak bukan misalnya contoh milik sebuah
    request response reply req resp res rpc permintaan jawaban balasan respon args params
    service services layanan pelayanan api svc info data message sistem system aplikasi app
    v1 v2 v3 v1beta1 v1alpha1 entry record
    go gov co
    """.split()  # noqa: SIM905  (words are read more easily so)
)

_PIECE: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LETTERS: Final = re.compile(r"[a-z]+[0-9]?")

_SUFFIXES: Final = ("", "nya", "kan", "an", "i", "annya", "kannya")
# What stands before a root, and what the root may have lost to it.
_PREFIXES: Final = (
    ("", ("",)), ("meny", ("s",)), ("peny", ("s",)), ("meng", ("", "k")), ("peng", ("", "k")),
    ("mem", ("", "p")), ("pem", ("", "p")), ("men", ("", "t")), ("pen", ("", "t")),
    ("memper", ("",)), ("diper", ("",)), ("me", ("",)), ("pe", ("",)), ("per", ("",)),
    ("ber", ("",)), ("ter", ("",)), ("di", ("",)), ("ke", ("",)), ("se", ("",)),
)  # fmt: skip
_SHORTEST_ROOT: Final = 3

# Spellings by which the two languages write what they took from a third one.
_SPELLINGS: Final = tuple(
    (re.compile(pattern), spelt)
    for pattern, spelt in (
        (r"(?:ization|isation)$", "isasi"),
        (r"(?:tion|sion)$", "si"),
        (r"ity$", "itas"),
        (r"(?:graphy)$", "grafi"),
        (r"cc(?=[eiy])", "ks"),
        (r"c(?=[eiy])", "s"),
        (r"(?:ck|c|q)", "k"),
        (r"(?:ph|v)", "f"),
        (r"x", "ks"),
        (r"z", "s"),
        (r"th", "t"),
        (r"y", "i"),
        (r"(.)\1", r"\1"),
        (r"(?<=...)[aeiou]$", ""),
    )
)


@dataclass(frozen=True, slots=True)
class Concept:
    """What a word means, and how much it tells."""

    name: str
    weight: float
    is_verb: bool
    # Whether the glossary has it: others are compared by their letters too.
    is_known: bool


def split(identifier: str) -> list[str]:
    """The words of an identifier: `cariPulauKecil2`, `cari_pulau_kecil` and the like."""
    pieces = _PIECE.findall(identifier[:_LONGEST_IDENTIFIER])[:_MOST_PIECES]
    return [piece.lower()[:_LONGEST_WORD] for piece in pieces]


def concepts(identifier: str) -> tuple[Concept, ...]:
    """What the words of an identifier mean, each once, in order; of phrases, the longest."""
    return tuple(dict.fromkeys(_of_words(split(identifier))))


def comment_concepts(comment: str, most_words: int) -> tuple[Concept, ...]:
    """What the words of a comment mean, each once, as far as the glossary has them."""
    words = _LETTERS.findall(comment.lower())[:most_words]
    return tuple(dict.fromkeys(each for each in _of_words(words) if each.is_known))


def meanings(words: list[str]) -> Iterator[tuple[list[str], Concept | None]]:
    """What words in a row mean, in order: each, or of phrases the longest; None: it tells nothing.

    The words are in lower case.
    """
    at = 0
    while at < len(words):
        for length in range(min(MAX_PHRASE_WORDS, len(words) - at), 1, -1):
            found = _PHRASES.get(" ".join(words[at : at + length]))
            if found is not None:
                break
        else:
            length, found = 1, _concept(words[at])
        yield words[at : at + length], found
        at += length


def _of_words(words: list[str]) -> Iterator[Concept]:
    return (found for _, found in meanings(words) if found is not None)


@lru_cache(maxsize=_REMEMBERED)
def _concept(word: str) -> Concept | None:
    if word in _EMPTY or word.isdigit() or len(word) == 1:
        return None
    for form in _forms(word):
        if (found := _PHRASES.get(form)) is not None:
            return found
    bare = skeleton(word)
    return _SKELETONS.get(bare) or _misspelt(word) or _unknown(bare)


def _unknown(bare: str) -> Concept:
    return Concept(bare, SUBJECT_WEIGHT, is_verb=False, is_known=False)


def _forms(word: str) -> Iterator[str]:
    """The word, then what it may be a form of: the least stripped first."""
    yield word
    yield from _singulars(word)
    for suffix in _SUFFIXES:
        if not word.endswith(suffix):
            continue
        stem = word.removesuffix(suffix) if suffix else word
        for prefix, lost in _PREFIXES:
            if stem.startswith(prefix):
                rest = stem.removeprefix(prefix)
                for letter in lost:
                    if len(letter + rest) >= _SHORTEST_ROOT:
                        yield letter + rest


def _singulars(word: str) -> Iterator[str]:
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s"):
        yield word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + _SHORTEST_ROOT:
            yield word.removesuffix(ending)
            yield word.removesuffix(ending) + "e"


def skeleton(word: str) -> str:
    """A word as both languages would spell it, without its plural's s."""
    bare = word[:-1] if word.endswith("s") and not word.endswith(("ss", "as", "is")) else word
    for pattern, spelt in _SPELLINGS:
        bare = pattern.sub(spelt, bare)
    return bare


def _misspelt(word: str) -> Concept | None:
    if len(word) < _MISSPELT_CHARS:
        return None
    for known in _BY_INITIAL.get(word[0], ()):
        if DamerauLevenshtein.distance(word, known, score_cutoff=1) <= 1:
            return _PHRASES[known]
    return None


_KINDS: Final = {"~": (ORDINARY_WEIGHT, False), "!": (VERB_WEIGHT, True)}


def _read(glossary: str) -> dict[str, Concept]:
    """The glossary's words and phrases; a word on two lines means what the first of them says."""
    found: dict[str, Concept] = {}
    for line in filter(None, glossary.splitlines()):
        head, _, rest = line.partition(": ")
        weight, is_verb = _KINDS.get(head[0], (SUBJECT_WEIGHT, False))
        concept = Concept(head.lstrip("~!"), weight, is_verb, is_known=True)
        for word in rest.split():
            found.setdefault(word.replace("_", " "), concept)
    return found


_PHRASES: Final = _read(GLOSSARY)
_SKELETONS: Final = {
    skeleton(word): concept for word, concept in reversed(_PHRASES.items()) if " " not in word
}


def _initials(words: Iterator[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        found.setdefault(word[0], []).append(word)
    return found


_BY_INITIAL: Final = _initials(
    word for word in _PHRASES if len(word) >= _MISSPELT_CHARS and " " not in word
)
