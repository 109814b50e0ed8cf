"""Stemmer of English words: inflections, spelling variants and irregular forms of a word share one.

A light stemmer on purpose: it never joins words of other meaning for the sake of a few more matches.
"""

from __future__ import annotations

import re
from functools import lru_cache

from refrain.streams.guards.item import REMEMBERED
from refrain.streams.guards.lexicon import pairs, split_list, words

WORD_CHARS_MAX = 40
"""A longer word is its own stem."""

_BASES = {form: base for base, forms in pairs("irregular") for form in split_list(forms)}
UNCHANGED = frozenset("cut put set hit shut split hurt read cast".split())
"""Verbs that are written alike in their past."""
_PAST_EED = frozenset("agreed disagreed freed guaranteed refereed decreed".split())
_SOUNDED_OE = frozenset("shoes toes horseshoes snowshoes tiptoes canoes hoes foes woes oboes aloes floes sloes".split())
"""Words of which the e before the s is their own, unlike that of potatoes."""
_SUFFIXES = words("suffixes") | {""}
_ROOT_CHARS = 4
_CVC = re.compile(r"^[^aeiou]*[aeiouy][^aeiouwxy]$")
_LIGATURES = re.compile("(?<=[^aeiou])(?:ae(?!l)|oe(?=[a-z]{2}))")
"""What is written as one letter in America: paediatrician, oestrogen; not Michael, aeroplane, canoe."""
_DOUBLED = re.compile("(?<=[aeiou][^aeiou][aeiou])ll(?=er$|or$|ous$)")
"""What is written with one l in America, behind a syllable that is not the first: traveller, marvellous."""
_KEPT = frozenset(
    "news always series species lens gas bus plus thus this less pass class address process access business kubernetes"
    " pandas windows analysis basis crisis status virus census focus bonus campus radius corpus express press"
    " canvas alias atlas bias texas during thing nothing something anything everything king ring spring string sing"
    " bring wing sting swing need feed speed seed red bed ted shed fed led hundred bred sped weed deed reed"
    " evening morning ceiling wedding pudding interesting being ping"
    " only early family july apply reply supply rely fly holy italy ugly daily weekly monthly yearly hourly assembly"
    " does has was is its as us yes https ftps imaps smtps ldaps amqps mqtts macos ipados watchos".split()
)


def stem(word: str) -> str:
    """The stem of a lower-case word."""
    return word if len(word) > WORD_CHARS_MAX else _stem(word)


@lru_cache(maxsize=REMEMBERED)
def _stem(word: str) -> str:
    if word in _BASES:
        return _base(_BASES[word])
    if len(word) < 4 or word in _KEPT or not word.isalpha():
        return word
    return _base(_spelling(_inflection(word)))


def is_irregular(word: str) -> bool:
    """Whether a lower-case word is a form that no rule reaches: eaten, taught, mice."""
    return word in _BASES


def may_be_past(word: str) -> bool:
    """Whether a lower-case word may be a past tense or a participle, by its form alone: closed, taught; not need."""
    return ends_past(word) or is_irregular(word)


def ends_past(word: str) -> bool:
    """Whether the ending of a lower-case word may be that of a past tense: closed; not need, hundred."""
    return word.endswith("ed") and word not in _KEPT and (not word.endswith("eed") or word in _PAST_EED)


def related(a: str, b: str) -> bool:
    """Whether two stems are forms of one word (configur, configuration): the same root and endings that change little.

    Looks at both alike: related(a, b) == related(b, a).
    """
    if len(a) < _ROOT_CHARS or a[:_ROOT_CHARS] != b[:_ROOT_CHARS]:
        return False
    common = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return any(
        a[cut:] in _SUFFIXES and b[cut:] in _SUFFIXES for cut in range(common, max(_ROOT_CHARS, common - 2) - 1, -1)
    )


def _inflection(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word in _SOUNDED_OE:
        return word[:-1]
    if word.endswith(("sses", "shes", "ches", "xes", "zes", "oes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
        if word in _BASES or word in _KEPT:
            return _BASES.get(word, word)
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("eed"):
        return word[:-1] if len(word) > 5 else word
    if word.endswith("ing") and len(word) > 5:
        return _restored(word[:-3])
    if word.endswith("ing") and len(word) == 5 and re.search("[aeiou]", word[:-3]):
        return _restored(word[:-3])
    if word.endswith("ed") and len(word) > 4 and re.search("[aeiouy]", word[:-2]):
        return _restored(word[:-2])
    if word.endswith("ly") and len(word) > 5:
        return word[:-3] + "y" if word.endswith("ily") else word[:-2]
    return word


def _restored(root: str) -> str:
    """A verb without -ing or -ed: stopp is stop, mak is make."""
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsfz":
        return root[:-1]
    return root + "e" if _CVC.match(root) or len(root) == 2 else root


def _spelling(word: str) -> str:
    """British and American spellings as one."""
    if len(word) > 5:
        word = re.sub(r"is(e|ation|er|ing)?$", r"iz\1", word)
        word = re.sub(r"ys(e|er)$", r"yz\1", word)
        word = re.sub(r"ogue$", "og", word)
        word = re.sub(r"ll(?=ation$|ment$)", "l", word)
        word = _DOUBLED.sub("l", word)
    if len(word) > 6 and ("ae" in word or "oe" in word):
        word = _LIGATURES.sub("e", word)
    if len(word) > 5 or word in ("colour", "honour"):
        word = re.sub(r"our(s|al|ite|able)?$", r"or\1", word)
    word = re.sub(r"(?<=[bt])re$", "er", word) if len(word) > 5 else word
    return re.sub(r"(?<=.{3})ence$", "ense", word)


def _base(word: str) -> str:
    """Without a final e that says nothing (creat for create and creating), and without a doubled l."""
    if len(word) > 5 and word.endswith("ll"):
        word = word[:-1]
    if len(word) > 4 and word.endswith("e") and not word.endswith("ee"):
        root = word[:-1]
        return word if _CVC.match(root) else root
    return word
