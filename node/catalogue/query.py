"""What people type, as a question to the index. Nothing that they type is taken for its syntax.

Each word must be there: itself, its beginning, or what means the same. Words that tell nothing
(`layanan`, `the`) are left out, where others are said. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from node.catalogue.documents import MEANINGS, TEXTS, meaning_word
from runtime.language.words import Concept, concepts, meanings, split
from security.errors import Code, SimpulError

MAX_TEXT_CHARS: Final = 256
MAX_WORDS: Final = 16
# A shorter one would begin too many.
_PREFIX_CHARS: Final = 3
_WORD: Final = re.compile(r"[^\W_]+")


def match_text(text: str) -> str:
    """The expression that finds contracts with these words anywhere; empty for an empty text.

    Raises:
        SimpulError: REQUEST_MALFORMED: it's too long, or has no word.
    """
    return _match("text", text, TEXTS, MEANINGS)


def match_field(text: str) -> str:
    """The expression that finds contracts with these words in names of fields.

    Raises:
        SimpulError: as `match_text`.
    """
    return _match("field", text, ("fields",), ("fields_means",))


def matching_fields(text: str, fields: Sequence[str], most: int) -> list[str]:
    """Of full names of fields the first whose own name has all words of a text, or their meaning.

    No more than what the index found is looked at, so a text is known to be sound.
    """
    wanted = list(_wanted(_pieces(text)))
    found: list[str] = []
    for name in fields:
        own = name.rpartition(".")[2]
        words, means = {own.lower(), *split(own)}, {each.name for each in concepts(own)}
        if all(_has(group, concept, words, means) for group, concept in wanted):
            found.append(name)
            if len(found) == most:
                break
    return found


def _has(group: list[str], concept: Concept | None, words: set[str], means: set[str]) -> bool:
    if concept is not None and concept.name in means:
        return True
    return all(
        any(each == word or (_long(word) and each.startswith(word)) for each in words)
        for word in group
    )


def _match(what: str, text: str, columns: Sequence[str], meaning: Sequence[str]) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise _malformed(f"{what} has {len(text)} characters and may have {MAX_TEXT_CHARS}")
    pieces = _pieces(text)
    if not pieces:
        if text.strip():
            raise _malformed(f"{what} {text[:40]!a} has no word in it: write letters or digits")
        return ""
    if len(pieces) > MAX_WORDS:
        raise _malformed(f"{what} has {len(pieces)} words and may have {MAX_WORDS}")
    return " AND ".join(
        _either(group, concept, columns, meaning) for group, concept in _wanted(pieces)
    )


def _wanted(pieces: list[str]) -> Iterator[tuple[list[str], Concept | None]]:
    found = list(meanings(pieces))
    telling = [(group, concept) for group, concept in found if concept is not None]
    for group, concept in found:
        # `v2` means nothing, and says which.
        if concept is not None or not telling or any(map(str.isdigit, "".join(group))):
            yield group, concept


def _either(
    group: list[str], concept: Concept | None, columns: Sequence[str], meaning: Sequence[str]
) -> str:
    said = " AND ".join(map(_word, group))
    either = f"{{{' '.join(columns)}}} : ({said})"
    if concept is not None:
        either = f'({either} OR {{{" ".join(meaning)}}} : "{meaning_word(concept)}")'
    return either


def _word(word: str) -> str:
    """A word, its beginning, or its pieces where it is written as one, such as `paud2`."""
    whole = f'"{word}"*' if _long(word) else f'"{word}"'
    cut = split(word)
    if len(cut) > 1:
        return f"({whole} OR ({' AND '.join(f'{chr(34)}{each}{chr(34)}' for each in cut)}))"
    return whole


def _long(word: str) -> bool:
    return len(word) >= _PREFIX_CHARS


def _pieces(text: str) -> list[str]:
    """Words in lower case; those of a name in camel case are several, as they are in the index."""
    found: list[str] = []
    for word in _WORD.findall(text):
        cut = split(word) if word.isascii() and word.isalpha() else []
        found.extend(cut or [word.lower()])
    return found


def _malformed(text: str) -> SimpulError:
    return SimpulError(Code.REQUEST_MALFORMED, text)
