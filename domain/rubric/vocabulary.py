"""The words behind the rubric's questions, as classes of meaning and not as known examples.

A class is a set of stems and of phrases (``event+log``). What is in no class counts as a subject:
a service may be about anything.
"""

from collections.abc import Mapping

from domain.rubric.concepts import Concept
from domain.rubric.words import stem


def concept(*texts: str) -> Concept:
    singles: set[str] = set()
    phrases: dict[str, list[tuple[str, ...]]] = {}
    for entry in " ".join(texts).split():
        stems = tuple(stem(part) for part in entry.split("+"))
        if len(stems) == 1:
            singles.add(stems[0])
        else:
            phrases.setdefault(stems[0], []).append(stems)
    return Concept(
        frozenset(singles),
        {first: tuple(rest) for first, rest in phrases.items()},
        frozenset(singles | phrases.keys()),
    )


def stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in text.split())


# --- what makes a purpose clear -----------------------------------------------------------------

FUNCTION = stems(
    "a an the of and or to by for per with in on from as is are was be been being at it its their"
    " that which who whom whose when where while how what this these those each every all any into"
    " over under between across about after before during so if then than not no we our us you your"
    " they them he she his her i my one can could may might will would should must do does has have"
    " had there here also only more most up out off via using use did done through against within"
    " until since around behind among because both either neither yes always never too very still"
    " yet once twice without again ago away back down toward towards upon next per"
)
GENERIC = stems(
    "service system app application tool platform solution module component engine software"
    " program product data information item record entity object content detail value need way"
    " people person user team company business work thing purpose feature function functionality"
    " api endpoint microservice simple new good basic general useful main own other different"
    " multiple several many few lot first second ai powered intelligent smart automate automatic"
    " automatically help provide support enable allow make let give get handle"
)
# How a word is used can often be told from its neighbours.
DETERMINERS = stems(
    "the a an our its their my your his her this that these those all any every each it them us me"
    " him everybody everyone somebody someone"
)
BEFORE_NOUN = stems("of by per with in on from for without via at no into between")
AFTER_NOUN = frozenset(("", ",", ":")) | stems("of per by and or is are was were in with on for")
BEFORE_VERB = frozenset((",", ":")) | stems(
    "and or then to can will may must should could would we they it you not also automatically"
    " please let that which who"
)
COMMON = FUNCTION | GENERIC | stems("individual others before without nothing its run itself sake")
# Verbs and praise that name no thing: "improve our business" says nothing.
HOLLOW = stems(
    "track record log manage plan count report analyse analyze keep collect monitor measure compare"
    " organise organize list store show display improve optimise optimize increase boost grow"
    " growth build create make do run just later start better best useful please productive discuss"
    " usual modern smart easy fast quick efficient effective innovative digital future vision value"
    " success follow update want like know think everywhere"
)
VAGUE = concept(
    "thing stuff something anything everything whatever somehow someone misc miscellaneous etc"
    " and+so+on tbd todo asdf lorem foo bar blah cool awesome amazing magic revolutionary ultimate"
    " game+changer next+gen best+ever synergy disrupt kind+of sort+of some+kind or+so"
)
NO_SUBJECT = FUNCTION | GENERIC | VAGUE.singles
POINTLESS = concept(
    "for+fun just+for+fun own+sake no+purpose no+reason no+real+use pointless useless novelty"
    " gimmick joke prank silly because+we+can for+the+hype vanity for+kicks for+laughs showing+off"
    " show+off bragging meme random+noise waste+of+time nobody+needs"
)
ACTION = stems(
    "track record log manage plan schedule count report analyse analyze analysis analytics"
    " summarise summarize summary calculate compute forecast predict estimate remind list search"
    " catalog catalogue register registry store keep collect monitor measure compare organise"
    " organize categorise categorize classify group rank prioritise prioritize assign route match"
    " allocate book reserve reservation validate verify check review inspect convert translate"
    " transform aggregate merge deduplicate detect alert visualise visualize dashboard show display"
    " chart index tag label annotate archive version document capture follow maintain update"
    " create edit view browse filter sort import query lookup inventory audit reconcile optimise"
    " optimize balance score evaluate assess align alignment approve approval govern governance"
    " orchestrate coordinate queue dispatch generate build test deploy repair recover heal replace"
    " improve learn recommend suggest explain tally log surface answer note"
)
# Watching, recording and reporting: the shape of routine work. What acts on the world is not in it.
OBSERVE = stems(
    "track record log manage plan schedule count report analyse analyze analysis analytics insight"
    " summarise summarize summary calculate compute forecast predict estimate remind list"
    " catalog catalogue register registry store keep collect monitor measure compare organise"
    " organize categorise categorize classify group rank prioritise prioritize allocate validate"
    " inspect aggregate visualise visualize dashboard show display chart index tag label maintain"
    " annotate archive inventory reconcile tally map overview total rate average trend level"
    " statistic statistics figure history breakdown comparison revenue income sales earning"
    " tracking plot"
)
# What people do with things at work; that a service keeps track of it is routine.
PLAIN_ACTS = stems(
    "brought took taken gave given went gone saw seen sold bought kept lent held ran came stood sat"
    " wrote written made left lost won met paid sent built grew grown fell broke broken drove"
    " driven ate eaten chosen chose found knew known hung laid led fed chase draw enter record note"
    " write read mark tick fill refill reorder order take bring put set get give hand hold carry"
    " move lift load unload pack unpack pick place ship deliver receive accept confirm decline"
    " reject approve refuse return lend borrow rent hire lease book cancel postpone reschedule"
    " pause resume start stop begin end finish complete close open reopen create add edit update"
    " change correct delete remove save attach upload import export print scan sign check review"
    " rate comment discuss decide choose select vote suggest propose request ask answer claim offer"
    " quote draft submit issue release publish assign reassign allocate distribute share split join"
    " combine link connect group sort filter find search look see view watch show display present"
    " list name number tag label describe explain define classify plan prepare arrange organise"
    " organize schedule run attend visit teach train learn practise practice play win lose score"
    " count weigh measure test inspect calibrate clean wash empty sweep mow water sow plant grow"
    " harvest feed milk breed shear prune fertilise fertilize spray cook bake brew ferment mix cut"
    " drill weld paint sand build assemble mount install fix repair mend service maintain replace"
    " exchange swap recycle dispose discard scrap donate reuse refurbish sell buy price discount"
    " bill invoice pay settle spend earn cost budget forecast estimate calculate compute sum total"
    " average compare match balance reconcile reserve free block extend renew expire retire archive"
    " keep store stock use consume need require want know tell say call help support handle manage"
    " lead follow wait queue serve host invite meet drive fly ride row sail park charge fuel dock"
    " unlock lock turn switch heat cool light come go leave arrive depart stay live work rest"
    " happen become rise fall drop shrink reach exceed miss lack overlap collide break damage fail"
    " last try avoid prevent reduce improve increase raise shorten speed simplify digitise digitize"
    " understand spot notice forget remember remind warn alert inform escalate forward dispatch"
    " register enrol enroll subscribe unsubscribe upgrade downgrade clock log stamp seal bag bottle"
    " collect fetch bury dig lay hang stack shelve file loan trade negotiate award grant nominate"
    " appoint rank grade pass perform rehearse sing film screen tour guide seat cater depend belong"
    " contain include cover consist relate differ vary apply matter suit fit agree"
)
# Past forms are no commands: "lost property", "kept until".
PAST = stems(
    "brought took taken gave given went gone saw seen sold bought kept lent held ran came stood sat"
    " wrote written made left lost won met paid sent built grew grown fell broke broken drove"
    " driven ate eaten chosen chose found knew known hung laid led fed"
)
# What a service that keeps records does in its first word; any other act is looked at.
ROUTINE_MAIN = (OBSERVE | PAST) | stems(
    "enter note mark tick book reserve see know find look search view browse check compare vote"
    " assign allocate share match draft file suggest review rate count which what who when where"
    " how time weigh lend borrow rent sort filter link arrange organise order pick collect"
    " number follow confirm cancel propose request inspect digitise digitize remind need want"
)
# Acts upon people or things, though the words are everyday ones.
ACTS_UPON = stems("let make have help tell say use")
# As often the first noun of a name ("gift cards", "spray diary") as a verb.
FIRST_NOUN = stems(
    "number sum total group damage leave route repair control request use access exit call cost"
    " delay demand design drop finish fix flow form guarantee hunt increase index interest"
    " interview level limit list loss measure name notice pace pass pause permit plot point"
    " practice preview process profile program progress project proof question range reading rebate"
    " recall refund repeat reply reset response result reward risk roll rule season shape sign"
    " signal smoke sort sound spare speed spring staff start state step stop store study style"
    " survey tackle talk taste tax team trail transport travel trial trip type update upgrade value"
    " view voice wait walk water wave welcome wish yield zone break catch care cart chair crop curb"
    " deck desk dish draw drink drive milk gift spray change clean train charge fire key work print"
    " book record report order plan stock price label room farm seed plant film stage tour lift"
    " park mail phone ship truck crew guest host box bag sand salt fuel dock heat light scan seal"
    " stamp loan trade service fish paint weld saw drill brew bottle play score match rank test cut"
    " feed harvest watch shift sample supply release return lease hire purchase sale rest dispatch"
    " transfer share stand bay meter patch swap challenge race rate tag visit stay ride sail show"
    " cover cash bill bid quote offer claim award grant fund post dial contact handover clock time"
    " press pool court screen exhibit display cook bake mix lock exchange waste scrap recycle skip"
    " storage rehearse pack parcel load delivery door dress wear guard wash laundry iron tailor"
    " guide"
)
PASSED_OVER = ((FUNCTION | GENERIC) - OBSERVE) | {",", ":"}
BENEFIT: Mapping[str, frozenset[str]] = {
    "revenue and cost": stems(
        "revenue income sales sale profit margin earning cost expense spend spending budget invoice"
        " price pricing subscription order turnover cash financial finance saving waste discount"
    ),
    "insight about customers": stems(
        "customer client subscriber buyer guest member support ticket feedback churn satisfaction"
        " complaint retention lead prospect campaign loyalty request enquiry inquiry helpdesk"
        " survey"
    ),
    "insight about operations": stems(
        "operation inventory stock warehouse shipment delivery supplier maintenance machine"
        " equipment asset production quality incident outage uptime capacity energy fleet vehicle"
        " project task defect downtime throughput utilisation utilization performance workload"
        " backlog logistics procurement bottleneck shift schedule process workflow turnaround"
        " consumption usage"
    ),
    "time saved for people": stems(
        "time duration deadline appointment calendar booking reservation reminder meeting room desk"
        " agenda checklist onboarding automation self-service wait waiting faster hour minute"
    ),
    "a safer or faster system": stems(
        "governance alignment blueprint policy quality reliability resilience failover recovery"
        " observability telemetry metric monitoring tracing audit safety latency cache"
        " queue scheduler testing"
    ),
}
MEASURE = stems(
    "total sum count number average mean median rate ratio percentage percent share minimum"
    " maximum trend time duration daily weekly monthly quarterly yearly annual hourly day week"
    " month quarter year hour minute level score threshold limit target deadline forecast history"
    " statistic statistics metric kpi figure distribution top ranking growth balance frequency"
    " volume amount quantity cost latency age overdue report status due"
)
GROUNDWORK = concept(
    "governance blueprint alignment policy+engine phoenix failover self+heal self+improve"
    " self+repair intent+queue orchestrator orchestration observability telemetry tracing"
    " service+registry service+discovery event+log event+store event+sourc audit+trail audit+log"
    " health+check load+balance rate+limit cache scheduler message+bus resilience reliability"
    " build+pipeline deploy test+runner code+quality spec+quality metric+collect log+aggregat"
    " backup resource+usage circuit+breaker infrastructure"
)
SWEEPING = concept(
    "all+in+one do+everything everything+in+one single+platform+for+everything every+possible"
    " one+stop+shop entire+company whole+company all+of+the+above kitchen+sink monolith"
)

# --- this system itself -------------------------------------------------------------------------

SELF = concept(
    "phoenix governance alignment+engine blueprint+align align+with+the+blueprint alignment+score"
    " intent+queue sovereign+factory build+executor approval+dashboard policy+engine auto+approval"
    " auto+approve event+log event+store launcher failover leader+election jetstream self+modify"
    " own+code own+service own+source itself this+system the+platform+own fencing+token"
    " spec+gate self+improve self+heal blueprint decision+log decision+engine approve+intent"
    " governed intent+approval deployment+gate release+gate"
)
POLICY_WORD = concept(
    "policy approval approver approve approving safeguard guardrail oversight alignment permission"
    " privilege entitlement autonomy"
)
# What this system itself approves, and by what. Anything else that is approved is business.
OWN_MATTER = concept(
    "intent blueprint governance deployment deploy sandbox evaluator rubric autonomous ai agent"
    " auto automatic+approval threshold platform this+service its+service every+service all+service"
    " own+service own+build own+change own+request my+request all+my my+change this+system"
    " approve+build build+approval approve+spec spec+approval approve+all approve+everything"
    " approve+any tier+0 tier+1 tier+2 tier+3 tier+zero this+team our+team cel policy+engine"
)
# What people approve and reject in ordinary life, and what their own policies are about.
BUSINESS_MATTER = concept(
    "insurance return refund privacy leave travel cookie warranty holiday vacation absence expense"
    " spent home car health insured premium policyholder claim purchase loan credit design drawing"
    " document invoice timesheet procurement budget order draft artwork content permit pet renewal"
    " broker wheel text image shaft sequence layout quote booking reservation position vacancy"
    " session talk article shift overtime training course contract delivery supplier vendor grant"
    " menu recipe price discount complaint project suggestion idea proposal plot room event trip"
    " visit job hire member club poster photo translation batch sample product part repair"
    " maintenance work+order change+order days off+day swap tender meal stall stand school customer"
    " timetable roster funding bill visitor exhibit concert film excursion research paper thesis"
    " volunteer equipment tool vehicle license licence plan+change field harvest transport"
)
# Who approves, and words that go with any approval: they do not say what is approved.
NO_MATTER = stems(
    "manager lead leader boss colleague committee head supervisor director owner board chair member"
    " employee staff admin administrator assistant human manual second third final required"
    " necessary pending missing past old new early late step process workflow request check rule"
    " violation review reviewer history status state list reject decline accept grant deny refuse"
    " confirm sign submit ask wait needed"
)

# --- what goes before a person (principle 4) ------------------------------------------------------

SPEND = concept(
    "charge debit withdraw payout pay wire refund purchase buy sell trade bill disburse settle"
    " invest lend donate reimburse"
)
HANDLE = concept("transfer process execute initiate collect accept issue send release move")
FUNDS = concept(
    "payment payout fund money refund transaction bank crypto bitcoin wallet loan salary wage"
    " payroll credit deposit reimbursement commission donation currency"
)
MONEY = concept(
    "payment payout fund money refund invoice transaction bank card crypto bitcoin wallet account"
    " stock share loan salary wage payroll supplier vendor bill share currency credit deposit"
    " reimbursement commission donation"
)
MONEY_ALONE = concept(
    "payout payroll charge+card charge+customer pay+supplier pay+invoice pay+bill pay+employee"
    " pay+out payment+gateway payment+process checkout bank+transfer wire+transfer autopay"
    " direct+debit trading+bot issue+refund automatic+payment"
)
PERSONAL = concept(
    "personal+data personal+information personal+detail email+address phone+number telephone+number"
    " home+address postal+address birth+date date+of+birth place+of+birth birthday birthdate"
    " passport ssn social+security medical+record medical+history medical+data medical+file patient"
    " diagnosis prescription health+record salary wage biometric fingerprint face facial religion"
    " ethnicity ethnic sexual criminal+record contact+detail contact+information contact+list"
    " bank+account credit+card iban identity+document driving+licence driver+license next+of+kin"
    " employee+record personnel cv resume candidate applicant vacation+day sick+leave absence gps"
    " home+location location+data genetic customer+data user+data client+data member+data"
    " customer+database user+database customer+record user+record therapy mental+health pii gdpr"
    " phone+numbers email+addresses full+name first+name last+name email"
)
# Fields of a record by the words of their names. Whose bare name it is does not count.
FIELD_PERSONAL = stems(
    "email phone telephone fax birth birthday birthdate dob postcode passport ssn nationality"
    " religion ethnicity gender salary wage iban diagnosis medical illness disability fingerprint"
    " surname lastname firstname forename"
)
FIELD_SECRET = stems("password passwd passphrase secret credential")
PROTECTED = stems("patient child children pupil minor applicant candidate inmate refugee prisoner")
PLACE = stems(
    "building site branch shop store station warehouse depot venue hall location office property"
    " supplier company room yard ip mac url web server host device"
)
REACH_OUT = concept(
    "inform tell alert warn remind write+to send post publish tweet email sms text message notify"
    " push call dial upload submit syndicate broadcast order forward mail contact reply share"
    " invite sync scrape crawl download webhook"
)
OUTSIDE = concept(
    "email sms newsletter customer subscriber client social twitter facebook linkedin instagram"
    " third+party external public internet website webhook slack vendor supplier competitor"
    " whatsapp telegram press mailing+list phone web market+place marketplace partner agency"
    " authority lead prospect recipient youtube contact portal external news site"
)
# Verbs that are as often nouns: "order parts" acts, "the order of a part" does not.
NOUN_OR_VERB = stems(
    "post tweet email sms text message push call dial order forward mail contact reply"
    " scrape download upload charge purchase trade bill wire transfer process issue release refund"
    " clean clear change edit rotate stop cover pause trim lose mute drop delay raise replace lower"
    " doctor swap cook polish pad skip override pay lift heat cool light drive switch turn control"
    " lock move steer dim"
)
OUTSIDE_ALONE = concept(
    "webhook newsletter crawl mailing+list mass+email bulk+email social+media+post"
    " third+party+api external+api outbound public+api sms tweet"
    " email+them text+them message+them mail+them call+them send+them notify+them inform+them"
)
ERASE = concept(
    "reset delete erase purge wipe destroy drop truncate shred overwrite obliterate format prune"
    " permanently+remove remove+permanently remove+all clear+all clean+out"
)
STORED = concept(
    "data record file account database table backup bucket history dataset document archive row"
    " collection volume disk snapshot repository customer user tenant schema entry"
)
ERASE_ALONE = concept("erase wipe purge destroy shred obliterate truncate")
RECORD_EDITING = stems("create add edit update read view list insert")
RUN_CODE = concept(
    "arbitrary+code arbitrary+command shell+command shell+script run+command execute+command"
    " execute+code run+code run+script execute+script user+script user+code remote+code eval"
    " exec subprocess root+access sudo ssh remote+shell system+command plugin+code"
)
OPERATE = concept(
    "manage route provision deploy configure orchestrate restart scale terminate host reboot"
    " install patch rotate administer control operate reconfigure open block replace shut"
)
INFRASTRUCTURE = concept(
    "server cluster kubernetes network firewall dns load+balancer gateway cloud vm virtual+machine"
    " container router switch node database+server message+broker certificate secret credential"
    " infrastructure production+environment nats datacenter proxy computer workstation firmware"
    " operating+system"
)
PHYSICAL = concept(
    "actuator unlock+door door+lock robot+arm switch+off+machine furnace"
    " traffic+light braking brake weapon vehicle+control control+vehicle irrigation+valve"
    " insulin medication+dose dosing open+gate"
)
MOVE_THINGS = concept(
    "open close lock unlock switch start stop turn drive steer heat cool dim move lift control"
)
THINGS = concept(
    "gate door barrier valve machine motor engine light lamp heating water+pump the+pump conveyor"
    " lift elevator crane robot oven boiler fan blind garage drone printer turbine thermostat"
)
JUDGE = concept("decide approve reject deny screen refuse accept score rank select shortlist admit")
JUDGED = concept(
    "loan credit applicant candidate visa benefit admission claim tenant tenancy parole asylum"
    " application mortgage scholarship eligibility"
)
DECIDE = concept("decide approve reject deny refuse accept grant award allow authorise authorize")
SORT_PEOPLE = concept("score rank recommend shortlist dismiss promote demote profile grade sort")
AUTOMATIC = concept(
    "automatically automatic by+itself by+themselves on+its+own unattended instantly without+asking"
)
ROUTINE_REFUSAL = stems("overlap double duplicate invalid full clash conflict booked incomplete")
INDIVIDUAL = concept(
    "employee individual citizen neighbour neighbor worker staff protester spouse partner child"
    " children teenager tenant journalist activist resident pupil student voter colleague"
)
OBSERVING = Concept(OBSERVE, {}, OBSERVE)
ABOUT_PERSON = concept(
    "contact name photo picture portrait profile address email phone age nationality income debt"
)
SECRETS = concept(
    "secret credential password private+key api+key token ssh+key access+key encryption+key"
    " environment+variable admin+token session+cookie signing+key certificate+key key+vault"
    " password+vault"
)
LEGAL = concept(
    "sign+contract legal+advice contract+sign terminate+employee dismiss+employee fire+employee"
    " hire+decision hiring+decision credit+decision loan+decision evict lawsuit reject+applicant"
    " tax+filing file+tax let+go lay+off layoff made+redundant dismissal"
)

# --- what the blueprint rules out (principles 5 and 6) --------------------------------------------

RESHAPE = concept(
    "move divert hide split change alter modify replace turn swap flip edit revise reverse amend"
    " make adjust rewrite set correct update"
)
VERDICT = concept(
    "past+approval past+decision past+rejection rejected+decision rejected+intent earlier+decision"
    " old+decision recorded+decision decision+made rejected+one rejected+request decision approval"
    " rejection past+verdict decision+after approved+one after+the+fact retroactive retrospectively"
    " in+hindsight"
)
TAMPER = concept(
    "delete erase purge wipe destroy drop truncate rewrite alter tamper modify falsify forge"
    " backdate suppress scrub redact expunge doctor clean rotate prune shorten remove hide disable"
    " stop turn+off switch+off mute bypass skip overwrite shred corrupt trim compact discard"
    " obfuscate conceal edit change pause silence clear cover sanitise sanitize lose"
)
TRAIL = concept(
    "audit event+log event+store event+stream audit+log audit+trail audit+data audit+record"
    " audit+entry audit+history decision+log decision+record decision+history approval+history"
    " approval+record governance+record governance+log log+entry log+file immutable+log"
    " event+history checkpoint evidence trail past+event past+decision journal access+log"
    " security+log change+log+of+decision log logging trace ledger history+of+decision record+of"
)
DISABLE = concept(
    "disable bypass circumvent evade turn+off switch+off deactivate subvert defeat weaken"
    " get+around work+around override skip suppress sidestep neutralise neutralize ignore"
    " disregard kill defang short+circuit stub+out mute undermine dodge switch+it+off forge"
    " rubber+stamp hide conceal falsify"
)
LOOSEN = concept(
    "remove avoid lower loosen relax raise reduce replace suspend pause delay waive drop"
)
CONTROL = concept(
    "approval approver governance policy policies gate oversight safeguard guardrail sandbox"
    " audit logging human+approval human+check human+oversight human+confirmation human+step"
    " permission verification signature alignment threshold fence lease"
    " quorum confirmation compliance safety+check security+check review+step reviewer"
    " human+review quality+gate test+suite access+control authentication authorisation"
    " authorization rate+limit kill+switch monitoring blueprint review"
)
WITHOUT_CONTROL = concept(
    "without+approval without+review without+oversight without+human without+asking"
    " without+permission without+audit without+logging without+trace without+governance"
    " without+any+approval without+any+review without+any+oversight no+oversight no+human"
    " no+approval no+review without+a+trace without+supervision unsupervised off+the+record"
    " unlogged untraceable undetected without+record without+receipt without+paper"
    " without+paperwork need+for+people need+for+human need+for+approval need+to+approve"
    " need+for+a+person without+being+logged without+leaving without+a+human without+a+person"
    " without+any+human no+audit no+logging never+ask outside+governance outside+the+log"
    " no+questions+asked"
)
WITHOUT_CONSENT = concept(
    "without+consent without+their+consent without+knowledge without+their+knowledge"
    " without+knowing without+them+knowing unaware unknowingly behind+their+back covertly secretly"
    " covert in+secret without+telling without+informing unnoticed surreptitious"
)
STEALTH = concept(
    "silently quietly stealth stealthy invisible invisibly hidden inconspicuously discreetly"
    " without+anyone without+anybody nobody+notice nobody+see no+one+notice no+one+see"
)
WATCH = concept(
    "monitor track record watch follow log profile listen read observe scan infer score screenshot"
    " spy surveil intercept capture collect photograph film identify locate catch detect report"
    " measure flag analyse analyze"
)
PERSON = concept(
    "employee individual citizen neighbour neighbor worker staff protester spouse partner wife"
    " husband girlfriend boyfriend child children teen teenager tenant journalist activist minority"
    " resident pupil student voter driver colleague passer shopper nanny daughter son user people"
    " person visitor customer agent+s freelancer remote+worker"
)
PRIVATE = concept(
    "location whereabouts gps movement private+message chat browsing keystroke conversation private"
    " screen mood social+media every+move religion politic political ethnicity camera microphone"
    " webcam bathroom phone+call private+life inbox dm emotion sleep toilet screenshot"
    " screen+activity idle+time web+activity face union sexual opinion"
)
SURVEILLANCE = concept(
    "spy spyware surveil surveillance stalk stalking wiretap eavesdrop keylog keylogger"
    " facial+recognition face+recognition social+credit mass+monitor track+individual"
    " hidden+camera dragnet predictive+policing stalkerware"
)
ATTACK = concept(
    "hack exploit ddos phish phishing malware ransomware botnet trojan rootkit brute+force"
    " crack+password sql+injection backdoor dox doxx cyberattack denial+of+service reverse+shell"
    " privilege+escalation credential+stuffing cryptojack mine+crypto mine+bitcoin"
    " mine+cryptocurrency crypto+miner cryptocurrency+mine zero+day payload+dropper scan+port"
    " port+scan vulnerable+host spam flood+server sabotage blackmail extort extortion"
    " password+cracker"
)
DECEIVE = concept(
    "fake fabricate forge counterfeit impersonate deceive mislead bogus sham fraudulent pose"
    " pretend manipulate trick inflate falsify invent"
)
DECEIVED = concept(
    "review account news invoice identity profile traffic testimonial rating document follower"
    " voice video person bank customer user vote voter election certificate receipt report"
    " signature click comment like figure evidence expert opinion doctor investor regulator buyer"
)
DECEPTION = concept(
    "scam deepfake astroturf disinformation misinformation propaganda ponzi pyramid+scheme"
    " money+launder launder+money evade+tax tax+evasion insider+trading price+fixing dark+pattern"
    " catfish plagiarise plagiarize hidden+fee sock+puppet clickbait embezzle bribe"
    " gaslight bait+and+switch"
)
UNFAIR = concept(
    "discriminate ethnic+profile rank+people+by+race exclude+minority reject+by+age by+race"
    " by+ethnicity by+religion based+on+race based+on+religion based+on+ethnicity based+on+gender"
    " social+scoring blacklist+union union+buster addictive gambling casino"
)
TAKE = concept(
    "send upload copy export forward transmit post mirror publish sell share email ship beacon"
    " dump extract pipe relay stream transfer push sync expose reveal print download move give"
    " collect read hand disclose"
)
SENSITIVE = concept(
    "customer+data customer+database customer+record user+data user+database user+record"
    " personal+data personal+information all+data database event+log whole+log all+event"
    " source+code all+record every+record company+data internal+data confidential+data"
    " confidential data+dump every+event event+of+the+log entire+log the+log backup"
    " contact+list internal+document customer+list medical+record"
    " trade+secret intellectual+property"
)
ELSEWHERE = concept(
    "external outside third+party remote attacker pastebin dropbox ftp unknown competitor"
    " off+site offsite foreign public http https data+broker broker advertiser personal+account"
    " private+server our+server my+server someone+else overseas anonymous gist telegram bucket"
    " personal+email home+server gmail elsewhere darknet dark+web url"
)
STEAL = concept("exfiltrate exfiltration siphon smuggle")
GRAB = concept("harvest leak steal skim hijack snatch")
GRABBED = concept(
    "data document secret credential password email address record customer user identity account"
    " session file key information contact detail"
)
RUNAWAY = concept(
    "replicate+itself copy+itself spread+itself self+replicate escape+the+sandbox escape+sandbox"
    " break+out+of persist+after survive+shutdown prevent+shutdown cannot+be+stopped"
    " cannot+be+switched+off unstoppable spawn+unlimited grant+itself give+itself own+approval"
    " approve+itself approve+own own+permission hide+itself resist+shutdown unkillable"
    " own+privilege"
)

# --- "never delete ...", "detect phishing" --------------------------------------------------------

NEGATION = stems("never not cannot no without nor neither none n't prohibit forbid prevent")
PROTECTION = stems(
    "prevent detect block protect guard stop against forbid refuse deny alert warn anti resist"
    " defend defence defense mitigate safeguard spot catch combat discover counter reject"
)
PASSIVE = stems("is are be been being get gets was were")

KNOWN: frozenset[str] = (
    FUNCTION | GENERIC | ACTION | MEASURE | PLAIN_ACTS | frozenset().union(*BENEFIT.values())
)
KNOWN_ACTS: frozenset[str] = KNOWN | OBSERVE


def concepts_of(module: Mapping[str, object]) -> list[Concept]:
    """The concepts among the names of a module."""
    return [value for value in module.values() if isinstance(value, Concept)]


def all_singles() -> frozenset[str]:
    """Every single stem of every class: what leet spelling might be hiding."""
    found = set(KNOWN)
    for value in concepts_of(globals()):
        found |= value.singles
        for rest in value.phrases.values():
            found |= {part for phrase in rest for part in phrase}
    return frozenset(found)


EVERY_STEM: frozenset[str] = all_singles()
# Verbs that do harm to what follows them: never a mere name before "the" or "every".
HARMING: frozenset[str] = frozenset().union(
    *(acts.singles for acts in (TAMPER, ERASE, TAKE, DISABLE, LOOSEN, SPEND, HANDLE, GRAB))
)
# Whatever is a verb in some class: what acts, when it stands first.
ALL_ACTS: frozenset[str] = PLAIN_ACTS.union(
    *(
        acts.singles
        for acts in (
            *(REACH_OUT, SPEND, HANDLE, ERASE, OPERATE, MOVE_THINGS, JUDGE, TAMPER, DISABLE),
            *(LOOSEN, TAKE, GRAB, DECEIVE, WATCH, RESHAPE, SORT_PEOPLE, DECIDE),
        )
    ),
    stems(
        "split treat produce pull bundle compress patch tidy try push pour throw catch chase hunt"
        " launch inject flood fake force trigger spread convince persuade generate gather squeeze"
        " make build adjust fill empty keep track convert transform encode decode encrypt decrypt"
        " scan probe crawl clone copy duplicate multiply merge blend mask rename recruit target"
        " nudge steer boost amplify slow speed block jam intercept redirect replay simulate"
    ),
)
