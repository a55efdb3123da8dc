"""Words that exclude one another: who founded a company did not by that lead it, and what grew did not shrink.

Written for this project. Each line of `_GROUPS` holds words of one form that fit the same place in a question and of
which one hardly ever follows from another.
"""

from __future__ import annotations

_GROUPS = """
founded led owned designed sold sued audited renamed financed represented praised criticized insured
found lead own design sell sue audit rename finance represent praise criticize insure
invented banned bought patented stole tested funded described named opposed
invent ban buy patent steal test fund describe name oppose
wrote translated edited published illustrated reviewed banned printed performed
write translate edit publish illustrate review print perform
directed produced filmed scored financed edited narrated cast distributed
discovered named photographed mapped measured classified predicted visited
discover name photograph map measure classify predict visit
built destroyed demolished rebuilt bought leased painted inspected abandoned restored
build destroy demolish rebuild buy lease paint inspect abandon restore
born married buried educated arrested crowned knighted elected baptized
won lost hosted refereed cancelled postponed watched broadcast
win lose host referee cancel postpone watch broadcast
conquered defended ruled visited liberated besieged left burned
conquer defend rule visit liberate besiege leave burn
appointed dismissed elected married advised succeeded killed betrayed
appoint dismiss elect marry advise succeed kill betray
taught studied influenced examined expelled funded mocked
teach study influence examine expel mock
signed rejected drafted vetoed repealed proposed amended violated
sign reject draft veto repeal propose amend violate
opened closed moved flooded burned expanded sold inspected
open close move flood burn expand sell
arrived departed stayed slept fought worked studied died
arrive depart stay sleep fight work study die
started ended stopped resumed delayed
start end stop resume delay
eat cook grow sell fear avoid hunt
ate cooked grew sold feared avoided hunted
causes prevents cures spreads detects worsens
cause prevent cure spread detect worsen
caused prevented cured delayed worsened
contains lacks produces exports imports absorbs
contain lack produce export import absorb
earned spent borrowed lost donated invested
earn spend borrow lose donate invest
exported imported produced consumed stored wasted
hired fired trained sued interviewed paid
gave took lent threw hid showed
give take lend throw hide show
said sang whispered promised denied forgot
asked ordered begged forbade helped
wanted feared refused forgot pretended promised
founder owner director designer architect chairman critic successor rival treasurer secretary
author translator editor publisher illustrator critic reader
inventor manufacturer owner buyer critic tester
director producer composer editor distributor star
president governor mayor ambassador treasurer senator judge
king queen prince duke bishop general heir
father mother brother sister son daughter uncle husband wife teacher friend
capital border currency flag anthem area population language climate
population area height length depth age cost weight density
price revenue profit loss debt tax budget salary
headquarters factory warehouse museum shop laboratory
birthplace grave residence school office
winner loser host referee sponsor runner-up
teacher student doctor lawyer soldier farmer
cause effect symptom cure risk cost
beginning end middle duration
color size shape weight smell taste
deadline fee penalty discount refund warranty
employees customers shareholders competitors suppliers
students teachers visitors volunteers members donors
deaths births injuries arrests marriages
goals points fouls matches titles penalties
books films songs paintings plays poems letters
""".strip()

_OPPOSITES = """
first last
largest smallest
biggest smallest
highest lowest
longest shortest
oldest youngest
earliest latest
most least
best worst
before after
above below
north south
northern southern
east west
eastern western
increase decrease
increased decreased
increases decreases
rise fall
rose fell
more fewer
gain lose
gained lost
early late
strongest weakest
fastest slowest
richest poorest
minimum maximum
public private
male female
men women
internal external
allowed forbidden
legal illegal
agree disagree
agreed disagreed
accept reject
accepted rejected
accepts rejects
include exclude
included excluded
includes excludes
begin end
began ended
success failure
successful unsuccessful
positive negative
upper lower
inside outside
import export
present absent
possible impossible
supported opposed
supports opposes
support oppose
allies enemies
friend enemy
without with
with without
always never
never always
joined left
join leave
remain leave
win lose
won lost
hot cold
wet dry
rural urban
ancient modern
temporary permanent
voluntary compulsory
major minor
advantage disadvantage
advantages disadvantages
strengths weaknesses
benefits drawbacks
benefit harm
love hate
loved hated
liked disliked
happy sad
created destroyed
create destroy
raised lowered
raise lower
given refused
attack defend
attacked defended
victory defeat
common rare
""".strip()

EXCLUSIVE: dict[str, list[list[str]]] = {}
"""Word → the groups that it is in."""
for _line in _GROUPS.splitlines():
    _group = _line.split()
    for _each in _group:
        EXCLUSIVE.setdefault(_each, []).append(_group)

ANTONYMS: dict[str, str] = {}
"""Word → its opposite, the first that is listed."""
for _line in _OPPOSITES.splitlines():
    _one, _other = _line.split()
    ANTONYMS.setdefault(_one, _other)
    ANTONYMS.setdefault(_other, _one)
