"""English words that say nothing about what a memory is about.

Articles, pronouns, auxiliaries and prepositions, and the words a question is made of: memories are
asked for ("where did I put", "who told me"), and without the latter every question finds whatever
was phrased as a question. "may", "will" and "march" stay: they are a month, a name and a month.
"""

from __future__ import annotations

from typing import Final

_WORDS: Final = """
a an the this that these those here there
i me my mine myself we us our ours ourselves you your yours yourself yourselves
he him his himself she her hers herself it its itself they them their theirs themselves
am is are was were be been being have has had having do does did doing done
can could shall should would might must ought
and or but nor so yet if then than because as while though although unless until
of at by for with about against between into through during before after above below
to from up down in out on off over under again further once onto upon within without
not no yes too very just only also even ever both each few more most other some such own same
any all again like
who whom whose what which when where why how whether
tell said say says told know knows find get gets got
s t d ll m o re ve don dont doesn didn isn aren wasn weren hasn haven hadn won wouldn couldn
shouldn cant cannot im ive youre thats whats
"""

STOP_WORDS: Final = frozenset(_WORDS.split())
