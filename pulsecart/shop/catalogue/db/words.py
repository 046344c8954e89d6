"""
Translates search box input to SQL over ``product_search s``: words, "exact phrases", -without, or.

Words are normalized by ``search_text`` (migration 0017) and searched twice: without English stop words, so that
"lamp for the kitchen" finds kitchen lamps, and with all of them, so that "The Who" finds anything at all. Characters
that are not part of a word (%, ★, 👟) are searched literally.
"""

import re
import unicodedata
from typing import Final, NamedTuple

WORDS: Final = ("english", "all_words")
_TERM: Final = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')
_AS_IT_STANDS: Final = (
    "strpos(normalize(concat_ws(' ', s.name, s.category, s.description, s.sku), NFKC), normalize(%({})s, NFKC)) > 0"
)


class Term(NamedTuple):
    text: str
    without: bool


class Search:
    """
    Args:
        typed: not blank.

    Attributes:
        condition: SQL that selects the matching rows.
        rank: SQL for how well a row matches, a float8.
        params: parameters of both.
    """

    def __init__(self, typed: str) -> None:
        self.params: dict[str, str] = {}
        alternatives = [self._alternative(terms) for terms in alternatives_of(typed)]
        query_text = " || ".join(query for query, _ in alternatives if query)
        self.condition = f"({' OR '.join(condition for _, condition in alternatives)})"
        self.rank = f"ts_rank(s.words, {query_text})::float8" if query_text else "0::float8"

    def _alternative(self, terms: list[Term]) -> tuple[str, str]:
        """Return the tsquery, empty without words, and the condition."""
        conditions, words = [], []
        for term in terms:
            name = f"term{len(self.params)}"
            self.params[name] = term.text
            if has_word(term.text):
                words.append(("!! " if term.without else "") + f"phraseto_tsquery('{{0}}', search_text(%({name})s))")
            else:
                conditions.append(("NOT " if term.without else "") + _AS_IT_STANDS.format(name))
        query = " || ".join(f"({' && '.join(words)})".format(config) for config in WORDS) if words else ""
        if query:
            conditions.append(f"s.words @@ ({query})")
        return query, f"({' AND '.join(conditions)})"


def alternatives_of(typed: str) -> list[list[Term]]:
    """``tea or "green leaf" -bag`` → [tea], ["green leaf", -bag]; neither the list nor any item is empty."""
    found: list[list[Term]] = [[]]
    terms = list(_TERM.finditer(typed))
    for place, match in enumerate(terms):
        minus, phrase, word = match.groups()
        if found[-1] and match[0].lower() == "or" and place + 1 < len(terms):
            found.append([])
        elif text := (phrase or word or "").strip():
            found[-1].append(Term(text, bool(minus)))
    return [terms for terms in found if terms] or [[Term(typed.strip(), without=False)]]


def has_word(text: str) -> bool:
    """Whether the text has a letter or a digit of any script."""
    return any(unicodedata.category(sign)[0] in "LN" for sign in unicodedata.normalize("NFKC", text))
