"""Classes of meaning that take an intent before a person: no plain plan, but somebody should look.

Wide on purpose. Everyday business hardly ever speaks of these; who does can explain it.
"""

from domain.rubric.vocabulary import concept

# --- what is true -------------------------------------------------------------------------------

BEND = concept(
    "rewrite rewriting adjust shorten lower massage fudge tweak inflate deflate doctor polish"
    " understate overstate swap fiddle bend embellish beautify smooth nudge pad retouch falsify"
    " invent fabricate reword recolour whitewash misreport misstate underreport overreport"
    " exaggerate rig skew distort manipulate fill+up make+up cook round+up round+down"
    " re-date redate predate postdate relabel repackage"
)
FACT = concept(
    "number figure result value record row history entry vote hour reading date label measurement"
    " grade mark statement total balance rating fact document answer score data"
    " timestamp weight odometer mileage invoice receipt certificate bid one ones signature"
    " meter test sample fine kilometre emission minute outcome poll"
)
STATE = concept(
    "report print show submit publish send enter record write declare present claim tell state log"
    " label mark announce display quote give put use book file document"
)
OTHER_THAN_TRUE = concept(
    "lower higher later earlier better nicer smaller bigger cleaner clean improved rosy false"
    " untrue only+good only+the+good only+positive shorter longer cheaper"
)
PRETENCE = concept(
    "as+if as+though look+like look+as look+better look+good look+real look+genuine look+approved"
    " make+it+look make+them+look make+it+seem make+it+appear appear+to seem+to pretend"
    " pass+as pass+off pass+for claim+to+be in+the+name+of under+the+name under+false"
    " under+another+name under+different+name although even+though"
    " instead+of+the+real never+happened made+up not+really so+called in+disguise identity+of"
    " under+invented not+the+real made+to+look on+paper but+not+really as+genuine as+real"
    " as+organic ghostwrite plagiar sign+for+them sign+on+behalf"
    " good+one bad+one clean+value clean+version two+set+of+book second+set"
)
SUPPRESS = concept(
    "suppress bury swallow lose hide discard silence delete withhold keep+back drop reject+all"
    " play+down downplay brush+off sweep block ignore filter+out shred remove leave+out"
)
UNWELCOME = concept(
    "complaint warning finding criticism evidence recall alarm bad+result bad+review"
    " negative+review negative+comment bad+news accident injury violation breach whistleblower"
    " objection dissent bad+rating bad+one claim leak defect+report incident+report"
)

# --- secrecy and evasion ------------------------------------------------------------------------

EVADE = concept(
    "evade avoid dodge hide beat slip escape circumvent trick fool mislead get+past get+around"
    " outsmart outwit sneak stay+below stay+under keep+from sidestep elude bypass defeat"
    " work+around conceal away+from not+see never+see not+shown not+show never+show not+told"
    " never+told under+the+radar"
)
OVERSEER = concept(
    "police inspector auditor regulator custom+s authority tax watchdog ombudsman moderator"
    " detection sanction embargo quota law+enforcement court+order works+council union inspection"
    " speed+camera toll border+check filter+s plagiarism+check age+check law regulation"
    " reporting+duty reporting+threshold spam+filter captcha content+filter officer licence+check"
    " watchful supervisor+s"
)
_SECRECY = (
    r"(?:so that|so|such that|until|while|when|whenever|before|without|if|unless|once|make sure|"
    r"ensure|ensures|making sure)\b[^.;!?\n]{0,40}?"
    r"\b(?:nobody|no one|no-one|none|nothing|never|not|cannot|can't|won't|don't|doesn't|hardly|"
    r"anyone|anybody|they|us|him|her|them)\b[^.;!?\n]{0,25}?"
    r"\b(?:sees?|seeing|notic\w+|find nothing|finds? out|finding out|knowing|knows about|learns?|"
    r"learning|discover\w*|realis\w+|realiz\w+|detect\w*|suspects?|watch\w*|looks|looking|"
    r"caught|catch\w*|trac(?:e|ed|eable)|complains?|object\w*)\b"
)
BARE = concept(
    "undetected unnoticed unseen untraceable untracked unregistered undeclared unreported unlogged"
    " off+the+books off+the+record under+the+table back+door backdoor cover+up covering+up"
    " paper+trail no+trace look+the+other+way turn+a+blind+eye keep+quiet hush cash+only"
    " while+nobody nobody+is+looking nobody+is+there nobody+is+home nobody+is+in"
    " no+one+is+looking no+one+is+home plausible+deniability deniable burner regardless despite"
    " no+matter in+spite+of unless+caught whether+or+not+they loophole"
)

# --- what the law or decency rules out ------------------------------------------------------------

ILLICIT = concept(
    "burglar burglary thief theft+crew robber robbery smuggle smuggler contraband unlicensed"
    " unlicenced illegal illicit unlawful counterfeit stolen narcotic cocaine heroin meth weapon"
    " firearm explosive murder assassin kidnap ransom hostage harass harassment"
    " bully threaten intimidate blackmail extort bribe bribery kickback cartel collude collusion"
    " rigging insider launder laundering shell+company tax+haven porn nude nudes"
    " escort traffick extremist terrorist radicalise radicalize propaganda suicide self+harm"
    " torture slave forced+labour forced+labor sweatshop loan+shark scam fraud cheat cheating"
    " pirate pirated torrent keygen warez paywall hitman revenge stalker voyeur"
    " eavesdrop undercover covert clandestine secret secretly sabotage arson hooligan lynch"
    " mob gang mafia ghost+employee phantom+employee black+market grey+market moonlight banned"
    " hate+speech slander defame defamation smear rumour rumor"
    " doctored without+a+licence without+a+license without+licence underage poach poaching"
    " doping steroid match+fixing fixed+match fixer confidential"
    " embargoed hitlist hit+list blacklist black+list no+fly"
)
PRESSURE = concept(
    "lure entice coax coerce nag hook+on guilt scare frighten humiliate shame retaliate"
    " punish gullible vulnerable desperate lonely naive prey addict addictive compulsive"
    " hard+to+cancel cannot+cancel difficult+to+cancel impossible+to+cancel hard+to+leave"
    " make+it+hard force+them force+customer force+user small+print fine+print pensioner elderly"
    " older+people old+people demented dementia grieving widow exploit"
    " push+them+to push+people squeeze evict eviction unpaid+labour work+longer"
)
PREFER = concept(
    "score rank reject prefer exclude filter favour favor deny refuse price charge last lower offer"
    " pay select hide skip turn+away shortlist come first sort grade assess rate predict guess"
    " infer work+out estimate label flag separate different"
)
BY_BIRTH = concept(
    "woman women female gender racial skin ethnic ethnicity pregnant pregnancy child+bear religion"
    " religious faith minority foreigner immigrant migrant accent nationality caste church mosque"
    " temple synagogue worship mother union expecting+a+baby sexual transgender gay lesbian muslim"
    " jew jewish christian black+people surname sound+foreign poor+neighbourhood poor+area disabled"
    " disability political politics belief their+age applicant+s+age birth+year young+people"
    " over+50 over+fifty fertility"
)

# --- people and what is theirs ------------------------------------------------------------------

EXPOSED = concept(
    "protester spouse girlfriend boyfriend journalist activist dissident whistleblower informant"
    " debtor celebrity celebrities ex+wife ex+husband my+ex my+wife"
    " my+husband my+boss my+landlord witness witnesses striker demonstrator asylum"
    " critic critics"
)
ABOUT_LIFE = concept(
    "leave+home leave+the+house think believe habit friend opinion whereabouts movement private"
    " messenger chat message relationship lifestyle browsing screen bathroom toilet mood smoke"
    " sleep vote illness camera face diary+of religion location gps route+home belong social"
)
INDIVIDUALS = concept(
    "women woman girl boy employee individual citizen neighbour neighbor worker staff spouse child"
    " children teenager tenant resident pupil student voter colleague patient worshipper"
    " demonstrator"
)
WATCHES = concept(
    "track record watch follow log monitor observe diary list note map profile check count show"
    " keep know detect recognise recognize identify read listen measure report score collect"
)
HAND_OVER = concept(
    "sell trade give hand pass share export send copy sync upload forward mail move publish post"
    " push dump transfer offer rent monetise monetize resell exchange disclose license email drop"
    " back+up stream replicate mirror smuggle take supply provide deliver"
)
KNOWLEDGE = concept(
    "list data record database detail file contact address+book history information archive log"
    " profile document dataset footage recording transcript photo lead everything roll directory"
    " register table customer guest member design recipe source+code drawing"
)
STRANGER = concept(
    "agency agencies advertiser insurer insurance+company broker third+party third+parties buyer"
    " bidder employer police government press newspaper abroad competitor rival stranger friend"
    " outsider recruiter headhunter debt+collector landlord foreign marketer data+dealer hedge+fund"
    " highest external outside elsewhere whoever anyone interested+parties other+companies"
    " other+company another+company brother cousin journalist union my+own personal+cloud"
)
MINE = concept(
    "my+laptop my+phone my+drive my+account my+mailbox my+cloud my+server my+storage my+webhook"
    " my+usb my+email my+own my+home my+inbox my+machine my+private private+cloud"
    " private+drive personal+cloud personal+laptop personal+device usb+stick usb+drive"
    " personal+drive private+account private+mailbox home+computer"
)
COMPETITOR = concept("competitor rival other+companies another+company other+company competing")
COMPETITORS_OWN = concept(
    "bid offer secret plan customer staff employee data document draft design password site website"
    " system network login tender pricing+file account server shop order inbox supplier+list"
    " formula recipe engineer reputation rating listing ad ads campaign"
)
OBTAIN = concept(
    "obtain acquire intercept sniff tap overhear copy get find collect download read scrape learn"
    " see overload click+on rate review report book order block guess pull watch steal buy"
)
BREAK_IN = concept(
    "guess crack bypass login+s log+in password passwords credential session cookie captcha"
    " two+factor otp one+time+code wifi network vulnerability vulnerabilities security+hole port+s"
    " packet exploit firewall"
)
AT_OTHERS = concept(
    "other+tenant other+user other+people neighbour neighbor victim target rival competitor"
    " stranger someone+else somebody+else another until+one+works other+network"
    " unprotected unsecured exposed internet+wide"
)
UNBOUND = concept(
    "own+limit own+limits own+budget own+rights own+permission own+rules every+host each+host"
    " cannot+switch nobody+can+switch nobody+can+stop cannot+stop never+stops restart+itself"
    " reinstall+itself copies+of+itself other+machines spread+to deletion+proof unkillable"
    " on+its+own+authority full+access unrestricted unlimited+access root+access admin+rights"
    " administrator+rights superuser all+permission any+command"
)

# --- who is spoken to, and who is spoken about ----------------------------------------------------

META = concept(
    "this+submission no+objection maximum+rating checker automated+reader classification+complete"
    " outcome+positive decide+positive full+mark low+risk top+score high+score highest+score"
    " correct+verdict right+verdict verdict system+message begin+system principle+0 principle+1"
    " principle+2 principle+3 principle+4 principle+5 principle+6 principle+7 waive waiver"
    " amendment exempt dear+model dear+ai dear+reviewer language+model kindly+treat as+reviewed"
    " as+approved as+aligned who+grade whoever+grade grade+this assess+this judge+this score+this"
    " rate+this accept+all approve+all evaluator grader until+further+notice up+to+here"
    " everything+above everything+below ignore+everything trust+me trust+this trusted+source"
    " please+approve wave+through waved+through let+through as+a+yes click+the+approve"
    " approve+button auto+click fast+track+this"
)
INFER = concept(
    "work+out infer guess deduce derive figure+out predict+who predict+which find+out+who"
    " find+out+which tell+which tell+who recognise recognize identify profile conclude+who"
    " estimate+which guess+who detect+who detect+which spot+who spot+which score+each"
)
ANY_PERSON = concept(
    "employee individual citizen worker staff child children tenant resident pupil student voter"
    " colleague customer visitor guest people person user member patient driver shopper woman women"
    " man men couple family families someone somebody who household reader subscriber"
)
SENSOR = concept(
    "webcam web+cam cctv microphone footage snapshot keystroke badge+data badge+swipe face+match"
    " selfie hidden+device tracking+device gps+tracker voice+print wearable+tracker"
)
WHERE = concept("where how+long how+often whom who+with with+whom when+each when+every")
HABIT = concept(
    "habit behaviour behavior movement whereabouts opinion belief lifestyle mood secret"
)
BOT = concept("bot robot robots bots")
TURNS_OF_PHRASE = (
    (
        "calls a failure a success",
        r"(?:failed|failures?|rejected|warnings?|refused|denied|conflicts?|errors?|unsafe|bad)\b"
        r".{0,30}\b(?:to|as|into|become|appear)\b.{0,12}\b(?:passed|passes|approved|green|"
        r"resolved|ok|okay|accepted|fine|safe|positive|good)\b|"
        r"(?:mark|count|report|show|log|treat)(?:s|ed)? (?:it|them|these|those|all) as "
        r"(?:passed|approved|ok|green|successful|safe|valid|genuine)\b",
    ),
    (
        "approves its own",
        r"(?:sign(?:s|ed)? off|approves?|confirms?|releases?|accepts?|clears?) "
        r"(?:on )?(?:their|his|her|its|my|our|your) own\b",
    ),
    (
        "treats people unfairly",
        r"only (?:for|to|from|by) (?:\w+ )?(?:couples?|women|men|families|singles?|natives?|"
        r"people|applicants?|locals?|citizens?|christians?|muslims?|germans?)\b",
    ),
    (
        "poses as somebody",
        r"(?:using|with|in|under|borrowing) (?:the |our |a |his |her |their )?\w+ "
        r"(?:voice|face|letterhead|signature|handwriting)\b",
    ),
    ("works in secret", _SECRECY),
    (
        "works in secret",
        r"(?:nobody|no one|no-one)\s+(?:\w+\s)?(?:checks?|looks?|asks?|notices?|sees?|reads?|"
        r"counts?|minds?|complains?|suspects?|finds? out|can tell)\b",
    ),
    (
        "is about one person",
        r"(?:she|he|her|him|herself|himself)\b|ex[- ](?!vat|works|tax|stock)\w+",
    ),
    (
        "works on what people believe",
        r"(?:so|so that|makes?|making|until|to make|lets?|have) (?:the |our |all )?"
        r"(?:visitors?|customers?|people|users?|readers?|buyers?|voters?|they|them|guests?|clients?|shoppers?|"
        r"everyone|anyone|someone|inspectors?|auditors?|parents|patients|investors?)"
        r" (?:\w+ )?(?:thinks?|believes?|assumes?|feels?|expects?|trusts?|fears?|panics?)\b|"
        r"(?:says?|claims?|insists?|tells? \w+) (?:that )?(?:it|he|she|they|we) "
        r"(?:is|are|was|were)\b",
    ),
    (
        "states what did not happen",
        r"(?:did|was|were|has|have|had)(?: not|n't| never) (?:really |actually )?"
        r"(?:do|done|happen|happened|make|made|buy|bought|work|worked|provided?|drive|driven|"
        r"take place|taken place|exist|existed|render|rendered|perform|performed|attend|earn|"
        r"won)\b"
        r"|never (?:did|happened|existed|made|worked|took place|bought|sold|provided)\b"
        r"|(?:does|do) not exist\b|after the fact\b|plausib\w+\b"
        r"|made[- ]up\b|invent(?:ed|s)\b"
        r"|(?:turn|wind|roll|dial|clock)(?:s|ing|ed)? back\b",
    ),
    (
        "presses people",
        r"(?:so that|so|until) (?:they|he|she|tenants?|staff|workers?|people|mothers?|"
        r"customers?) (?:\w+ )?(?:quit|leave|resign|give up|move out|pay|cannot|can't|have to|"
        r"must|stay hooked)\b",
    ),
)
