"""English verb forms as far as turning a question into a statement needs them: past, participle, third person."""

from __future__ import annotations

_IRREGULAR = (
    "arise arose arisen,awake awoke awoken,bear bore borne,beat beat beaten,become became become,"
    "begin began begun,bend bent bent,bet bet bet,bind bound bound,bite bit bitten,blow blew blown,"
    "break broke broken,bring brought brought,build built built,burst burst burst,buy bought bought,"
    "cast cast cast,catch caught caught,choose chose chosen,cling clung clung,come came come,cost cost cost,"
    "cut cut cut,deal dealt dealt,dig dug dug,do did done,draw drew drawn,drink drank drunk,drive drove driven,"
    "eat ate eaten,fall fell fallen,feed fed fed,feel felt felt,fight fought fought,find found found,"
    "flee fled fled,fly flew flown,forbid forbade forbidden,forget forgot forgotten,forgive forgave forgiven,"
    "freeze froze frozen,get got got,give gave given,go went gone,grow grew grown,hang hung hung,have had had,"
    "hear heard heard,hide hid hidden,hit hit hit,hold held held,hurt hurt hurt,keep kept kept,know knew known,"
    "lay laid laid,lead led led,leave left left,lend lent lent,let let let,lie lay lain,lose lost lost,"
    "make made made,mean meant meant,meet met met,pay paid paid,put put put,quit quit quit,read read read,"
    "ride rode ridden,ring rang rung,rise rose risen,run ran run,say said said,see saw seen,seek sought sought,"
    "sell sold sold,send sent sent,set set set,shake shook shaken,shed shed shed,shine shone shone,"
    "shoot shot shot,show showed shown,shrink shrank shrunk,shut shut shut,sing sang sung,sink sank sunk,"
    "sit sat sat,sleep slept slept,speak spoke spoken,spend spent spent,spin spun spun,split split split,"
    "spread spread spread,stand stood stood,steal stole stolen,stick stuck stuck,strike struck struck,"
    "strive strove striven,swear swore sworn,sweep swept swept,swim swam swum,swing swung swung,take took taken,"
    "teach taught taught,tear tore torn,tell told told,think thought thought,throw threw thrown,"
    "undergo underwent undergone,understand understood understood,wear wore worn,win won won,"
    "withdraw withdrew withdrawn,write wrote written,overcome overcame overcome,overthrow overthrew overthrown,"
    "foresee foresaw foreseen,undertake undertook undertaken"
)
_ROWS = [row.split() for row in _IRREGULAR.split(",")]
_PAST = {base: past for base, past, _ in _ROWS}
_BASE = {form: base for base, *forms in _ROWS for form in forms}
_PAST_FORMS = frozenset(past for _, past, _ in _ROWS)
_PARTICIPLES = frozenset(participle for *_, participle in _ROWS) | {"born", "been", "shown", "proven", "known", "bound"}
_DOUBLED = frozenset({
    "plan", "stop", "drop", "ban", "admit", "commit", "permit", "refer", "occur", "prefer", "transfer",
    "control", "equip", "step", "ship", "map", "tap", "trap", "rob", "grab", "beg", "submit", "regret",
    "compel", "expel", "propel", "patrol", "plot", "chat", "wrap", "strip", "slip", "trim",
})  # fmt: skip
_NO_PARTICIPLE = frozenset({
    "red", "bed", "need", "speed", "seed", "breed", "hundred", "sacred", "naked", "indeed", "united", "king",
    "thing", "spring", "string", "ring", "wing", "building", "morning", "evening", "nothing", "something",
    "anything", "everything", "during", "being", "left", "meaning", "painting", "meeting", "beginning",
    "feeling", "bird", "feed", "deed",
})  # fmt: skip


def is_irregular(verb: str) -> bool:
    """Whether the base form is in the table of irregular verbs."""
    return verb in _PAST


def base_of(word: str) -> str:
    """The base form of an irregular past or participle; any other word as it is."""
    return _BASE.get(word, word)


def past(verb: str) -> str:
    """The past tense of a base form."""
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ied"
    return f"{verb}{verb[-1]}ed" if verb in _DOUBLED else f"{verb}ed"


def third_person(verb: str) -> str:
    """The third person singular of the present of a base form."""
    if verb == "have":
        return "has"
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"


def base_of_third_person(word: str) -> str | None:
    """The base form that a third person singular may come from; None where the ending is another."""
    if word == "has":
        return "have"
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes", "oes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else None


def is_participle(word: str) -> bool:
    """Whether the word looks like a past or present participle."""
    plain = word.lower()
    if plain in _NO_PARTICIPLE:
        return False
    return plain in _PARTICIPLES or (len(plain) > 4 and plain.endswith(("ed", "ing")))


def is_past(word: str) -> bool:
    """Whether the word looks like a past tense."""
    plain = word.lower()
    return plain in _PAST_FORMS or (len(plain) > 3 and plain.endswith("ed") and plain not in _NO_PARTICIPLE)
