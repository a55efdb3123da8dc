"""Function words that BM25 leaves out, at index and query time alike."""

from __future__ import annotations

_ENGLISH = """
    a about above after again against all also am an and any are aren't as at be because been before being below
    between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each eg etc
    few for from further had hadn't has hasn't have haven't having he he'd he'll he's her here here's hers herself him
    himself his how how's i i'd i'll i'm i've ie if in into is isn't it it's its itself just let's me more most mustn't
    my myself no nor not of off on once only or other ought our ours ourselves out over own same shan't she she'd
    she'll she's should shouldn't so some such than that that's the their theirs them themselves then there there's
    these they they'd they'll they're they've this those through to too under until up upon very was wasn't we we'd
    we'll we're we've were weren't what what's when when's where where's which while who who's whom whose why why's
    will with won't would wouldn't you you'd you'll you're you've your yours yourself yourselves s t d ll m re ve
"""
_CHINESE = (
    "的 了 是 在 和 与 及 或 也 就 都 而 着 吗 呢 吧 啊 之 于 以 被 把 让 我 你 他 她 它 我们 你们 他们 这 那 "
    "多长 多大 多高 多远 多久 多深 多重 何时 何地 何处 何人 哪年 "
    "这个 那个 这些 那些 什么 怎么 怎样 如何 哪 哪个 哪些 哪里 谁 几 多少 为什么 有 个 请 请问"
)
ENGLISH = frozenset(_ENGLISH.split())
CHINESE = frozenset(_CHINESE.split())
STOP_WORDS = ENGLISH | CHINESE

# Written in capitals these are names (an organisation, a department), not function words.
CAPITAL_NAMES = frozenset({"IT", "WHO"})
