"""Readable answers from a small grammar of our own; they name the prompt's topics and nothing real.

`simulated_answer` asks for a text of about so many tokens. Same chance, same text.
"""

from __future__ import annotations

import re

from atp_engine.providers.simulated_chance import Chance

_WORD = re.compile(r"[^\W\d_][\w-]{3,23}")
_LONGEST_READ = 4_000
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """about above after again also because been before being below between both cannot could does doing down
        during each every explain from further give have having hello here into itself just like list make many more
        most much must need only other ours over please same should show some such tell than that their them then
        there these they this those through under until very want were what when where which while whom will with
        within without would write your yours using used first last next user system assistant answer question help
        thanks good""",
    )
)
_CODE_WORDS = frozenset(
    re.findall(
        r"\w+",
        """code function class python javascript typescript script program implement refactor bug test tests regex
        algorithm parser compile snippet method loop async sql query""",
    )
)

_OPENINGS = (
    "Here is a short look at {a}.",
    "{A} comes down to a few choices, and most of them are about {b}.",
    "The short answer: treat {a} and {b} as one question, not two.",
    "It helps to start with {a} and leave {b} for the end.",
    "There are three things worth knowing about {a}.",
)
_SENTENCES = (
    "In practice {a} matters more than {b}, because it is what people notice first.",
    "A small experiment with {a} tells you more than a long discussion of {b}.",
    "If {a} changes often, keep {b} next to it so that both move together.",
    "Measure {a} before and after, otherwise the effect on {b} stays a guess.",
    "Most trouble with {a} begins where it meets {b}.",
    "The simplest version of {a} is usually enough for the first week.",
    "Write down what {a} must never do; {b} then follows almost by itself.",
    "When {b} is slow, look at {a} first and at the network last.",
    "Nobody remembers why {a} was built that way, so leave a note beside {b}.",
    "Two people should be able to explain {a} without looking at {b}.",
    "A limit on {a} is cheap to add now and hard to add later.",
    "What works for {a} on a quiet day may fail when {b} is busy.",
)
_POINTS = (
    "**{A}** - decide who owns it and how it is checked.",
    "**{B}** - start small, then grow it with real numbers.",
    "**{A} and {B}** - test the edges, not only the middle.",
    "**Failure** - say plainly what happens to {a} when {b} is missing.",
    "**Cost** - {a} is cheap per call and dear per mistake.",
    "**Time** - give {b} a deadline and keep to it.",
)
_CLOSINGS = (
    "That should be enough to take the next step with {a}.",
    "If you tell me more about {b}, I can be more precise.",
    "Start with {a}; the rest can wait until it hurts.",
    "In short: keep {a} boring and {b} visible.",
)
_THOUGHTS = (
    "The question is about {a}, and {b} seems to be the part that is unclear.",
    "First I should check what {a} means here.",
    "One option is to explain {b} through {a}; another is to list the steps.",
    "The list is probably easier to use, so I will go with that.",
    "I should not promise anything about {b} that I cannot back up.",
    "Is there a simpler way to say this? Yes: start from {a}.",
    "Then a short example, and a sentence that sums it up.",
)
_CODES = (
    "```python\ndef {n}_total(items: list[float]) -> float:\n"
    '    """Adds up the {a}, ignoring what is below zero."""\n'
    "    return sum(item for item in items if item > 0)\n\n\nprint({n}_total([1.5, -2.0, 4.0]))\n```",
    "```python\nfrom collections import Counter\n\n\ndef most_common_{n}(words: list[str]) -> str:\n"
    "    counts = Counter(word.lower() for word in words)\n    return counts.most_common(1)[0][0]\n```",
    '```bash\nfor name in {n}-*.log; do\n  printf \'%s %s\\n\' "$name" "$(wc -l < "$name")"\ndone\n```',
    "```sql\nSELECT {n}, COUNT(*) AS calls\nFROM requests\nGROUP BY {n}\nORDER BY calls DESC\nLIMIT 10;\n```",
)


def topics_of(prompt: str) -> list[str]:
    """Up to six telling words of a prompt, the longest first; some defaults when it has none."""
    words: dict[str, None] = {}
    for word in _WORD.findall(prompt[-_LONGEST_READ:]):
        lower = word.lower()
        if lower not in _COMMON:
            words[lower] = None
        if len(words) >= 40:
            break
    found = sorted(words, key=len, reverse=True)[:6]
    return found if len(found) > 1 else [*found, "the plan", "the details"]


def answer_text(prompt: str, tokens: int, chance: Chance) -> str:
    """An answer of about `tokens` tokens (four characters each)."""
    topics = topics_of(prompt)
    wanted = tokens * 4
    parts = [_filled(chance.pick(_OPENINGS), topics, chance)]
    length = len(parts[0])
    has_code = bool(_CODE_WORDS & set(topics)) or chance.random() < 0.12
    while length < wanted:
        kind = chance.random()
        if has_code and length > wanted / 3:
            part = chance.pick(_CODES).replace("{a}", topics[0]).replace("{n}", _identifier(topics))
            has_code = False
        elif kind < 0.25 and wanted - length > 160:
            points = [_filled(chance.pick(_POINTS), topics, chance) for _ in range(3)]
            part = "\n".join(f"{number}. {point}" for number, point in enumerate(points, start=1))
        else:
            count = 1 + int(chance.random() * 3)
            part = " ".join(_filled(chance.pick(_SENTENCES), topics, chance) for _ in range(count))
        parts.append(part)
        length += len(part) + 2
    if length < wanted + 80:
        parts.append(_filled(chance.pick(_CLOSINGS), topics, chance))
    return "\n\n".join(parts)


def thought_text(prompt: str, tokens: int, chance: Chance) -> str:
    """Thinking aloud of about `tokens` tokens."""
    topics = topics_of(prompt)
    said: list[str] = []
    length = 0
    while length < tokens * 4:
        said.append(_filled(chance.pick(_THOUGHTS), topics, chance))
        length += len(said[-1]) + 1
    return " ".join(said)


def phrase(prompt: str, chance: Chance) -> str:
    """Two topics as a short phrase, for search terms and titles."""
    topics = topics_of(prompt)
    return f"{chance.pick(topics)} {topics[0]}"


def _filled(template: str, topics: list[str], chance: Chance) -> str:
    first = int(chance.random() * len(topics))
    a, b = topics[first], topics[(first + 1) % len(topics)]
    filled = template.replace("{a}", a).replace("{b}", b)
    return filled.replace("{A}", a[:1].upper() + a[1:]).replace("{B}", b[:1].upper() + b[1:])


def _identifier(topics: list[str]) -> str:
    name = re.sub(r"[^a-z0-9_]", "_", topics[0].lower()).strip("_")
    return name if name[:1].isalpha() else "item"
