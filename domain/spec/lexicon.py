"""The words that the drafting rules know: published, finite, in one place.

A noun that is not listed can still become a record; the lists only say what is customary for some,
which verbs keep records, which nouns ask for a report, and which words say nothing about data.
"""

from domain.spec.words import bag

STORE_VERBS = bag("""
    track manage record store log register collect keep maintain capture create add save
    monitor catalog catalogue organize organise handle schedule book enter administer plan
""")
LOOK_VERBS = bag("list search find view show display browse filter query get read retrieve fetch")
REPORT_VERBS = bag("""
    report analyze analyse aggregate summarize summarise calculate compute measure compare total
    sum count visualize visualise chart group rank
""")
CHANGE_VERBS = bag("update edit delete remove change modify assign import export")
FILLER_VERBS = bag("provide support allow enable let offer give generate produce help make build")
STORE_NOUNS = bag("""
    tracking management recording registration registry storage booking catalog catalogue ledger
    directory administration logging tracker manager scheduling keeping monitoring collection
""")
REPORT_NOUNS = bag("""
    report reports reporting summary summaries total totals breakdown overview statistics analytics
    analysis trend trends dashboard dashboards insight insights average averages sum sums count
    counts metrics aggregation comparison number statement statements chart charts distribution
""")
SCENARIO_NOUNS = bag("history audit search filter filtering listing validation api crud endpoint")

WORKFLOW: dict[str, tuple[str, int]] = {
    # command: (the state it leads to, its place in the order of work)
    "submit": ("submitted", 1),
    "assign_to": ("assigned", 1),
    "start": ("started", 1),
    "approve": ("approved", 2),
    "reject": ("rejected", 2),
    "confirm": ("confirmed", 2),
    "publish": ("published", 3),
    "pay": ("paid", 3),
    "ship": ("shipped", 4),
    "deliver": ("delivered", 5),
    "complete": ("completed", 6),
    "resolve": ("resolved", 6),
    "close": ("closed", 7),
    "cancel": ("cancelled", 8),
    "archive": ("archived", 9),
}
REFUSING = frozenset(("reject", "cancel"))
WORKFLOW_NOUNS: dict[str, tuple[str, ...]] = {
    "approval": ("approve", "reject"),
    "approvals": ("approve", "reject"),
    "cancellation": ("cancel",),
    "confirmation": ("confirm",),
    "shipping": ("ship",),
    "delivery": ("deliver",),
    "completion": ("complete",),
    "resolution": ("resolve",),
    "publishing": ("publish",),
    "archiving": ("archive",),
}

TIMES: dict[str, str] = {
    "day": "day", "daily": "day", "date": "day",
    "week": "day", "weekly": "day",
    "month": "month", "monthly": "month", "months": "month",
    "quarter": "month", "quarterly": "month",
    "year": "year", "yearly": "year", "annual": "year", "annually": "year",
}  # fmt: skip
MEASURES: dict[str, str] = {
    "average": "avg", "averages": "avg", "avg": "avg", "mean": "avg",
    "count": "count", "counts": "count", "number": "count",
    "highest": "max", "largest": "max", "maximum": "max", "biggest": "max",
    "lowest": "min", "smallest": "min", "minimum": "min",
    "total": "sum", "totals": "sum", "sum": "sum", "sums": "sum",
}  # fmt: skip

STOPS = bag("""
    by with including having containing for from per in on to of across over through via using as
    that which who whose so when where if into at within based between than what they we you he she
    it how why is are be can must shall should will during after before without plus against under
    about their
""")
SMALL = bag("""
    a an the all every each any our your its this these those some new incoming outgoing total
    real-time realtime historical various multiple different own recurring individual detailed key
    basic simple automatic automated automatically up-to-date complete full custom easy fast quick
    secure scalable efficient intelligent smart advanced ai-powered powerful robust comprehensive
    central centralized internal external company organization business team financial online
    digital such other both also then please me us optional required unique current recent daily
    weekly monthly quarterly yearly annual overall
""")
GENERIC = bag("""
    data information info record records entry entries detail details metric metrics figure figures
    statistic statistics activity stream streams performance value values history amount amounts
    trend trends insight insights flow flows report reports analytics analysis summary summaries
    total totals result results log logs
""")
ENTRIES = bag("entry entries record records item items")  # of something: "time entries"
ABSTRACT = GENERIC | bag("""
    thing things stuff everything something it them progress status change changes health quality
    time access security service services system systems platform app application tool tools
    workflow workflows process processes way ways support work api apis feature features dashboard
    dashboards integration integrations user-friendly alignment governance automation engine
    aggregation world life collaboration communication productivity efficiency experience
    operation operations need needs usage overview business month year day week
""")

MONEY = bag("""
    revenue expense sale payment invoice transaction cost income donation purchase salary fee bill
    budget refund deposit order quote commission earning spending subscription
""")
PEOPLE = bag("""
    customer client user contact employee member supplier patient person student teacher author
    vendor driver volunteer guest tenant subscriber attendee candidate
""")
TITLED = bag("task todo ticket issue bug project goal request incident job milestone")
WRITTEN = bag("article post note document page comment message review announcement recipe")
COUNTED = bag("inventory stock inventory_item stock_item level part supply")
LENT = bag("loan rental checkout lease")
EFFORT = bag("hour minute kilometer mile step calorie")
TIMED = bag("appointment meeting booking reservation shift lesson class visit session")
MEASURED = bag("measurement reading temperature sample observation")
KNOWN = (
    MONEY
    | LENT
    | EFFORT
    | PEOPLE
    | TITLED
    | WRITTEN
    | COUNTED
    | TIMED
    | MEASURED
    | bag("product asset book")
)

LONG_TEXT = bag("description notes note body comment content text message details remarks summary")
DECIMALS = bag("""
    amount price cost total revenue balance fee salary budget value rate weight height distance
    temperature discount tax percentage hours profit income
""")
INTEGERS = bag("""
    quantity count stock age rating score capacity number seats pages duration points calories
    steps minutes level units copies
""")
BOOLEANS = bag("active enabled paid done completed archived published verified available")

NOT_THINGS = bag("""
    whatever whichever whoever anything nothing something everything anyone someone everyone nobody
    others more most less least lots plenty same rest best better good great bad right wrong new old
    big small open closed important helpful interesting clear correct nice well first last next done
    ready sure possible likely worth online offline together fine true false high low long short
    smarter faster easier happier happy productive work team people
""")
THINGS_IN_ING = bag("""
    meeting booking training reading listing rating filing holding building recording offering
    posting setting drawing painting ruling hearing saving earning spending briefing finding warning
    wedding drawing lodging parking showing opening sighting tasting outing standing ranking
""")
DESCRIBING_ENDS = ("ful", "able", "ible", "ous", "ly", "less", "ish")
DESCRIBING_BUT_THINGS = bag("table timetable vegetable cable variable family reply supply assembly")
