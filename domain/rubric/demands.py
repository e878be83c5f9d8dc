"""What lists demand: acts told as nouns, found by the roles that their words have.

In a sentence a verb acts upon an object. In a list the act is a noun and stands behind its object
("log pruning"), before an "of" ("removal of approvals"), or as a bare verb in front ("skip tests").
A record of acts is told the other way round: "cleaning log" and "report of removals" are none.

Invariants  an act counts only together with what it must not be done to, unless the wrong is in the
            word itself; what is found makes a person look and blocks nothing, since a few words say
            too little for that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from domain.rubric import vocabulary as v
from domain.rubric.signals import Finding, Principle, cut
from domain.rubric.vocabulary import stems
from domain.rubric.words import Clause, Reading, stem

_ENDINGS = ("", "er", "or", "al", "ion", "ation", "ing", "ment", "age", "ure", "ance", "ery")
_CHANGED = (("de", "sion"), ("rt", "rsion"), ("it", "ission"), ("fy", "fication"))
_PARTICLES = ("up", "out", "off", "down", "over")


def family(verbs: str) -> frozenset[str]:
    """The stems of verbs and of the nouns made from them: erase, eraser, erasure, erasing."""
    return frozenset(stem(form) for verb in verbs.split() for form in _forms(verb))


def _forms(verb: str) -> Iterator[str]:
    root = verb.removesuffix("e")
    for ending in _ENDINGS:
        yield (root if ending[:1] in "aeiou" else verb) + ending
    if verb[-1] not in "aeiouwxy" and verb[-2] in "aeiou":  # scrub, scrubber
        yield from (verb + verb[-1] + ending for ending in ("er", "al"))
    for last, noun in _CHANGED:
        if verb.endswith(last):
            yield verb.removesuffix(last) + noun
    yield from (verb + particle for particle in _PARTICLES)


# --- acts ---------------------------------------------------------------------------------------

_ERASE = family("erase delete wipe purge rewrite overwrite alter falsify expunge destroy")
_DESTROY = _ERASE | family(
    "prune shred scrub trim truncate drop remove clean clear cleanse sweep discard dispose blank"
    " zero unlink reset tamper swap mute silence suppress hide conceal redact bury sanitise"
    " sanitize obfuscate disable impair spoof"
)
_HUSH = family("mute silence suppress hide conceal bury disable block impair spoof")
_FALSIFY = family(
    "forge fake falsify counterfeit fabricate invent doctor backdate predate postdate inflate"
    " deflate manipulate alter distort embellish misstate misreport impersonate spoof tamper rig"
    " massage fudge stuff tweak retouch swap skew"
)
# What falsifies as a mark of the thing: "forged stamps".
_FALSE = stems(
    "forged fake faked falsified counterfeit fabricated invented doctored backdated inflated"
    " manipulated fictitious bogus sham phony fraudulent spoofed rigged phantom ghost imaginary"
    " improper concealed"
)
_BUY = family("buy sell") | stems("bought paid")
_DEFEAT = family(
    "bypass skip disable circumvent evade override overrule remove weaken defeat dodge mute stub"
    " fake forge impersonate downgrade lower loosen relax waive subvert undermine neutralise"
    " neutralize suppress suspend avoid sidestep ignore silence exclude deactivate exempt stuff"
    " escape elude trick cheat crack impair tamper spoof hijack"
)
_LEAK = family("leak exfiltrate siphon smuggle steal snatch phish") | stems("theft")
_TAKE = _LEAK | family(
    "relay forward export dump harvest skim hijack extract copy clone mirror upload download send"
    " tap sniff intercept capture replay guess crack spray brute stuff grab rob scrape expose"
    " disclose reveal forge manipulate"
)
_ATTACK = family(
    "hijack guess spray flood exploit hack brute crack spoof poison inject scan intercept sniff"
    " replay deface breach jam"
)
_SENSE = family("capture record grab intercept tap")
_DIVERT = family("skim divert siphon embezzle launder steal evade pad conceal hide inflate")
_UNMASK = family("unmask expose reveal reidentify deanonymise deanonymize")
_REJECT = family("reject exclude refuse deny demote")
_ADMIT = family("accept release deploy execute install import merge override approve publish")
# The wrong is in the word itself, whatever it is done to.
_WRONG = family(
    "tamper spoof falsify hijack embezzle smuggle bribe impersonate phish defraud plagiarise"
    " plagiarize coerce extort eavesdrop exfiltrate deceive mislead sabotage intimidate blackmail"
    " misappropriate counterfeit"
) | stems(
    "larceny kickback fictitious fraudulent malicious rogue bogus sham inauthentic clandestine"
    " pretext rootkit spyware keylogging malware reidentification deanonymised deanonymized"
)

# --- what they must not be done to --------------------------------------------------------------

_TRAIL = stems(
    "audit log logging journal trace history ledger evidence checkpoint timestamp footprint"
    " fingerprint proof metadata"
)
_RULED = stems("event decision verdict counter")
_ALARM = stems(
    "alarm alert alerting indicator warning complaint finding objection criticism dissent incident"
    " breach violation recall defect rule watchdog sensor detector"
)
_CONTROL = stems(
    "approval approver approve policy policies gate gatekeeper governance oversight safeguard"
    " guardrail sandbox audit auditor review reviewer signature verification permission quorum"
    " consent compliance authentication authorisation authorization threshold tier check inspection"
    " inspector moderation supervision supervisor confirmation limit lease control monitor captcha"
    " paywall licence license embargo sanction quota veto evaluator rubric blueprint"
)
_CHECKED = _CONTROL | stems("test")
_KEPT_SECRET = stems(
    "credential token password passphrase secret cookie login vault identity admin mailbox"
    " privilege wallet"
)
_ACCESS = _KEPT_SECRET | stems("key session certificate account pin network port host packet")
_KNOWLEDGE = stems(
    "customer client user member employee staff personnel intent data database list file record"
    " bid quote offer tender document source recipe drawing mail message chat conversation address"
    " contact archive backup design contract salary patient report price code"
)
_FACT = stems(
    "record entry figure number reading result value measurement certificate stamp badge signature"
    " invoice receipt report rating review testimonial opinion vote statement document identity"
    " date timestamp age mileage odometer balance total count grade score label sample seal"
    " follower subscriber profile account proof statistic supplier customer reference qualification"
    " deadline countdown discount ballot expense reimbursement endorsement revenue liability"
    " valuation disclosure cheque claim screenshot data code"
)
_TRUE = _FACT | _TRAIL | _RULED | _CONTROL
_OPINION = stems("review rating testimonial follower vote opinion like comment reference")
_MONEY = stems(
    "till cash payment payroll donation invoice fund fee tip wage refund tax budget rent deposit"
    " account commission salary revenue income expense reimbursement money"
)
_UNNAMED = stems(
    "author respondent reporter informant voter whistleblower sender reviewer donor critic"
    " complainant complainer witness"
)
_PERSON = stems(
    "employee staff worker driver mechanic tenant guest visitor customer child children pupil"
    " student patient neighbour neighbor colleague person people individual citizen resident member"
    " user voter operator guard passenger cleaner nurse teacher woman women man men wife husband"
    " spouse applicant candidate buyer"
)
_LIFE = stems(
    "mood location whereabouts movement face keystroke religion political union sexual pregnancy"
    " sleep emotion belief debt browsing habit illness gossip dossier stalking"
)
_PRIVATE = stems("private personal sealed confidential intimate secret")
_LETTER = stems("mail email message chat letter conversation call inbox")
_SENSES = stems("screen clipboard keystroke keyboard microphone webcam")
_OUTSPOKEN = stems(
    "complainer complainant objector striker protester protestor activist whistleblower"
    " dissenter unionist troublemaker informant demonstrator"
)
_SELF = stems("self own instant unattended silent blanket unconditional")
_GRANT = stems(
    "approval approve accept acceptance authorisation authorization clearance grant promotion admin"
    " permission privilege tier override"
)
_UNCHECKED = stems(
    "unsigned unlogged unreviewed unchecked unverified unaudited unapproved ungoverned unmonitored"
    " unsupervised unattended unrecorded untested unauthorised unauthorized untrusted hidden covert"
    " silent unscreened unregistered"
)
_HOLLOW = stems(
    "stub mock dummy shim noop sink placeholder blackhole null void always pretend sinkhole facade"
)
_CHOICE = stems(
    "unsubscribe cancel cancellation checkout opt consent fee cost charge renewal terms countdown"
    " button price condition clause subscription wording continuity"
)
_TRICK = stems(
    "hidden trick tricky false fake buried disguised confusing forced obstructed preselected secret"
    " sneaky deceptive"
)
_BY_BIRTH = stems(
    "age surname race gender sex religion origin nationality ethnicity accent pregnancy disability"
    " belief skin birthplace"
)
_ELSEWHERE = stems(
    "outside external offsite foreign abroad elsewhere competitor rival stranger broker advertiser"
    " attacker pastebin private"
)


@dataclass(frozen=True, slots=True)
class Demand:
    """An act, and what must not suffer it. ``told``: the orders of words that mean it."""

    name: str
    principle: Principle
    acts: frozenset[str]
    upon: frozenset[str] = frozenset()  # none: the act alone means it
    told: tuple[str, ...] = ("behind", "of", "bare")
    towards: frozenset[str] = frozenset()  # a third role, needed somewhere behind


DEMANDS = (
    Demand("tampers with the record", "record", _DESTROY, _TRAIL),
    Demand("tampers with the record", "record", _ERASE, _RULED),
    Demand("switches controls off", "record", _DEFEAT, _CHECKED),
    Demand("silences warnings", "record", _HUSH, _ALARM),
    Demand("approves its own", "record", _SELF, _GRANT, ("mark",)),
    Demand("lets in what was not checked", "record", _UNCHECKED, _ADMIT | _GRANT, ("near",)),
    Demand("hollows a control out", "record", _HOLLOW, _CONTROL | _TRAIL, ("behind",)),
    Demand("changes what is true", "harmless", _FALSIFY, _TRUE),
    Demand("changes what is true", "harmless", _FALSE, _TRUE, ("mark",)),
    Demand("changes what is true", "harmless", _BUY, _OPINION, ("mark",)),
    Demand("takes secrets", "harmless", _TAKE, _KEPT_SECRET),
    Demand("takes secrets", "harmless", _LEAK, _ACCESS),
    Demand("takes data out", "harmless", _LEAK, _KNOWLEDGE),
    Demand("takes data out", "harmless", _TAKE, _KNOWLEDGE, towards=_ELSEWHERE),
    Demand("attacks others", "harmless", _ATTACK, _ACCESS),
    Demand("diverts money", "harmless", _DIVERT, _MONEY),
    Demand("exposes people", "harmless", _UNMASK, _UNNAMED),
    Demand("treats people unfairly", "harmless", _REJECT, _BY_BIRTH, ("by",)),
    Demand("watches individuals", "harmless", _LIFE, _PERSON, ("near",)),
    Demand("watches individuals", "harmless", _PRIVATE, _LETTER, ("mark",)),
    Demand("watches individuals", "harmless", _SENSE, _SENSES, ("behind", "of")),
    Demand("is about those who speak up", "harmless", _OUTSPOKEN),
    Demand("tricks people", "harmless", _TRICK, _CHOICE, ("mark",)),
    Demand("names a wrong", "harmless", _WRONG),
)
_BY_ACT: dict[str, list[Demand]] = {}
for _demand in DEMANDS:
    for _act in _demand.acts:
        _BY_ACT.setdefault(_act, []).append(_demand)
_ACTS = frozenset(_BY_ACT)

_PAUSES = frozenset((",", ":"))
# What ends the name of a thing: "skip the old tests" goes on, "skip at the gate" does not.
_BREAKS = (v.FUNCTION - v.DETERMINERS - stems("own old all every past more most")) | _PAUSES
_AFTER_NAME = v.AFTER_NOUN | _BREAKS
_LEADS = _PAUSES | stems("and or then to also")
# What is told about an act: "approval bypass alerts" are no bypass.
_ABOUT = stems("report alert alarm warning count detection prevention protection statistic rate")
# A bare noun before one of these says what it is of: "reset log", "release date".
_KEPT = (_TRAIL - stems("audit evidence")) | _FACT | _KNOWLEDGE
_REACH = 3  # words


def demands(reading: Reading) -> Iterator[Finding]:
    """What is demanded against the blueprint in so few words that no sentence says it."""
    for clause in reading.clauses:
        if _ACTS.isdisjoint(clause.stems):
            continue
        for index, word in enumerate(clause.stems):
            for demand in _BY_ACT.get(word, ()):
                if _means(demand, clause, index):
                    yield Finding("suspect", demand.principle, demand.name, cut(clause.text))


def _means(demand: Demand, clause: Clause, index: int) -> bool:
    upon = demand.upon
    if not upon:
        return True
    if upon.isdisjoint(clause.stems):
        return False
    if demand.towards and demand.towards.isdisjoint(clause.stems[index:]):
        return False
    return any(_ORDERS[order](clause, index, upon) for order in demand.told)


def _behind(clause: Clause, index: int, upon: frozenset[str]) -> bool:
    """Log pruning: the act ends the name of what suffers it."""
    if clause.words[index].endswith("ed") or _stem_at(clause, index + 1) in _ABOUT:
        return False
    before = _stem_at(clause, index - 1)
    return before in upon or (before not in _BREAKS and _stem_at(clause, index - 2) in upon)


def _joined(by: str, clause: Clause, index: int, upon: frozenset[str]) -> bool:
    """Removal of approvals, rejection by surname."""
    return _stem_at(clause, index + 1) == by and _upon(clause, index + 2, upon) > 0


def _bare(clause: Clause, index: int, upon: frozenset[str]) -> bool:
    """Skip tests: a verb in front, and what suffers it at the end of its name."""
    if _stem_at(clause, index - 1) not in _LEADS:
        return False
    spoken = clause.words[index]
    if spoken.endswith(("ing", "ed", "al", "ion")) or (spoken[-1] == "s" and spoken[-2:] != "ss"):
        return False
    at = _upon(clause, index + 1, upon)
    if not at or _stem_at(clause, at + 1) not in _AFTER_NAME:
        return False
    singular = not clause.words[at].endswith("s")
    return not (at == index + 1 and singular and clause.stems[at] in _KEPT)


def _mark(clause: Clause, index: int, upon: frozenset[str]) -> bool:
    """Forged stamps."""
    return _upon(clause, index + 1, upon) > 0


def _near(clause: Clause, index: int, upon: frozenset[str]) -> bool:
    """Mood of drivers, driver mood."""
    return any(
        not upon.isdisjoint(_until_pause(words))
        for words in (
            clause.stems[max(0, index - _REACH) : index][::-1],
            clause.stems[index + 1 : index + 1 + _REACH],
        )
    )


def _until_pause(words: tuple[str, ...]) -> tuple[str, ...]:
    ends = next((at for at, word in enumerate(words) if word in _PAUSES), len(words))
    return words[:ends]


def _upon(clause: Clause, start: int, upon: frozenset[str]) -> int:
    """Where, from ``start`` on and before its name ends, one of these stands; 0 for nowhere."""
    for at in range(start, min(start + _REACH, len(clause.stems))):
        if clause.stems[at] in upon:
            return at
        if clause.stems[at] in _BREAKS:
            return 0
    return 0


def _stem_at(clause: Clause, index: int) -> str:
    """The stem; a pause before the first and behind the last."""
    return clause.stems[index] if 0 <= index < len(clause.stems) else ","


_ORDERS: Mapping[str, Callable[[Clause, int, frozenset[str]], bool]] = {
    "behind": _behind,
    "of": partial(_joined, "of"),
    "by": partial(_joined, "by"),
    "bare": _bare,
    "mark": _mark,
    "near": _near,
}
