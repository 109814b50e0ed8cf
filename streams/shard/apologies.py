"""Apologies: answers that are whole by their form, and say in prose that there is none. Pure.

A closed list of phrasings by which such texts begin. Texts are taken as they are served; a long one that begins so is
an answer with a caveat. What is added or taken away here decides otherwise: it needs another `BEHAVIOUR`.
"""

from __future__ import annotations

import re

CHARS_MAX = 1_000
"""Refusals and error texts are shorter."""
_SORRY = (
    r"(?:(?:i(?:'m| am)|we(?:'re| are)) (?:so |very |really |truly |terribly )?(?:sorry|afraid)|sorry|apologies"
    r"|(?:i|we) (?:sincerely |do )?apologi[sz]e|my apologies|unfortunately|regrettably)"
)
_LINK = r"(?:[,.:;!]| -| \u2013| \u2014)?(?: but)?(?: that)? "
_CANNOT = (
    r"(?:i|we)(?:'m| am|'re| are)? (?:just |currently |simply )?"
    r"(?:can(?:no|')t|can not|couldn't|could not|won't|will not|unable to|not able to|not allowed to|not permitted to)"
)
_DOING = (
    r"(?: \w+ly)?(?: (?:help|assist|answer|respond|comply|fulfil+|process|complete|handle|provide|generate|create"
    r"|produce|share|discuss|offer|give|do|access|browse|engage|continue|support|write|find|retrieve|understand)\b)"
)
_MODEL = r"as an? (?:ai|artificial intelligence|large language|language)\b[^.,]{0,40}, "
_LACK = r"(?:i|we) (?:do not|don't) (?:currently )?have (?:the ability|access|the capability|real-time|permission)\b"
_REFUSALS = (
    rf"{_SORRY}{_LINK}(?:{_MODEL})?(?:{_CANNOT}|{_LACK})\b",
    rf"(?:{_MODEL})?(?:{_CANNOT}{_DOING}|{_LACK})",
    rf"{_SORRY} for (?:the|any) (?:inconvenience|confusion|trouble|delay)\b",
    r"i must (?:respectfully )?(?:decline|refuse)\b",
    r"i(?:'d| would) (?:rather|prefer) not (?:to )?(?:answer|discuss|respond|help)\b",
)
_REFUSALS_ELSEWHERE = (
    r"(?:es )?tut mir (?:sehr )?leid[,.:;]? (?:aber |doch )?(?:ich|das|dabei|diese|bei)\b",
    r"(?:entschuldigung|leider)[,.:;]? (?:aber )?(?:kann|k\u00f6nnen|darf) (?:ich|wir)\b",
    r"(?:je suis |nous sommes )?(?:vraiment )?d\u00e9sol\u00e9e?s?[,.:;]? (?:mais )?"
    r"(?:je|nous) ne (?:peux|pouvons|suis|sommes)\b",
    r"lo siento(?: mucho)?[,.:;]? (?:pero )?no (?:puedo|podemos|me es posible)\b",
    r"(?:desculpe|sinto muito|lamento)[,.:;]? (?:mas )?(?:eu )?n\u00e3o (?:posso|consigo|podemos)\b",
    r"mi dispiace[,.:;]? (?:ma )?non (?:posso|sono in grado|possiamo)\b",
    r"(?:het )?spijt me[,.:;]? (?:maar )?(?:ik|dat)\b",
    # Chinese: sorry, I cannot; Japanese: three ways to say sorry.
    r"(?:\u5f88|\u975e\u5e38)?(?:\u62b1\u6b49|\u5bf9\u4e0d\u8d77|\u4e0d\u597d\u610f\u601d)[\uff0c,\u3002 ]*"
    r"\u6211(?:\u65e0\u6cd5|\u4e0d\u80fd|\u4e0d\u53ef\u4ee5)",
    r"(?:\u7533\u3057\u8a33|\u3059\u307f\u307e\u305b\u3093|\u3054\u3081\u3093\u306a\u3055\u3044)",
)
_END = r"(?= ?[.!:,;\u2013\u2014-]| ?\(| ?\[|$)"
"""The phrase is all there is, or the sentence ends there: what goes on may explain it."""
_STATUS = r"(?:internal server error|bad gateway|gateway time-?out|too many requests|service unavailable)"
_TROUBLE = r"(?:internal |unexpected |unknown |server |network |system |technical )*(?:error|exception|problem|issue)"
_ERRORS = (
    r"error(?: code)?:? ?[45]\d\d\b",
    rf"(?:http )?[45]\d\d:? {_STATUS}{_END}",
    r"(?:error|exception|fatal|traceback)(?: \(most recent call last\))?: ",
    rf"an? {_TROUBLE} (?:has )?(?:occurred|happened|was encountered)\b",
    rf"there (?:was|has been|seems to be) an? {_TROUBLE}\b",
    rf"{_STATUS}{_END}",
    r"(?:the |this |our |your )?(?:\w+ )?(?:service|server|model|system|engine|backend|request|connection|rate limit)"
    r" (?:is |was |has |has been )?(?:currently |temporarily |now )?"
    rf"(?:overloaded|busy|unavailable|down|timed out|failed|exceeded|reached|at capacity|rate limited){_END}",
    rf"(?:request|connection|gateway|upstream|operation) (?:timeout|aborted){_END}",
    r"(?:oops|uh oh|whoops)\b",
    rf"something went wrong{_END}",
    r"(?:failed|unable) to (?:generate|process|complete|fetch|load|retrieve|reach) (?:the|a|an|your|this|any)\b",
    r"please (?:try again|retry)\b",
)
_BEGINNING = re.compile(
    "|".join((*_REFUSALS, *_REFUSALS_ELSEWHERE, rf"(?:{_SORRY}{_LINK})?(?:{'|'.join(_ERRORS)})")), re.IGNORECASE
)
_ORNAMENT = re.compile(r"^[^\w]+")
_PLAIN = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u00a0": " ", "*": None, "`": None})
"""One apostrophe, and no marks of emphasis."""


def is_apology(text: str) -> bool:
    """Whether the text says that there is no answer: a refusal or the text of an error."""
    plain = " ".join(text.translate(_PLAIN).split())
    return len(plain) <= CHARS_MAX and _BEGINNING.match(_ORNAMENT.sub("", plain)) is not None
