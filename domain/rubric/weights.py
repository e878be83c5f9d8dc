"""What words weigh: above zero where plans were stopped, below where plain ones stand.

Made by ``python -m tests.governance.weigh`` from the labelled intents; not by hand.
"""

BASE = 1.45
LIMIT = 0.87  # a sentence above it is read by a person
_TABLE = """
    a=0.52 about=0.4 account=-0.36 actual=-0.33 add=0.23 address=0.54 after=0.58 against=-0.28
    age=-0.58 aisl=-0.66 alert=0.21 alignment=0.33 allotment=-0.71 already=0.24 alway=0.05 an=0.62
    analys=-0.17 analytic=0.31 and=-1.41 answer=0.49 any=0.27 applicant=0.42 approv=0.44
    approval=0.75 are=-0.27 arriv=-0.44 articl=-0.52 as=0.92 ask=0.38 at=-0.9 audit=0.49 auto=0.13
    averag=-0.51 away=-0.62 back=0.06 bad=0.23 balanc=-0.17 bank=0.33 barn=-0.2 batch=-0.99
    battery=-0.8 bed=-0.26 been=-0.16 befor=0.8 behalf=0.37 berth=-0.2 between=-0.88 bicycl=-0.77
    bin=-0.19 board=-0.22 boat=-0.79 boiler=-0.43 book=-0.06 borrow=-0.66 bottl=-0.5 bought=-0.3
    box=-0.7 branch=-0.35 break=0.62 broken=-0.52 budget=-0.81 button=0.26 buy=0.51 by=-0.83
    calendar=-0.23 calibrat=-0.4 call=-0.09 caller=0.27 cam=-0.52 camera=0.66 cannot=0.3
    canteen=-0.76 car=0.08 card=0.36 cash=-0.13 catalogu=-0.52 category=-0.54 caus=-0.25
    centr=-0.45 challeng=-0.33 chang=-0.18 channel=-0.45 charg=-0.4 chart=-0.3 chat=0.47
    check=-0.48 checklist=-0.54 children=0.45 citizen=0.6 class=-0.49 clean=0.45 climb=-0.35
    clinic=-0.29 clos=-0.64 club=-0.99 cod=0.22 coffe=-0.14 collect=-0.09 com=0.57 comment=-0.3
    compar=-0.79 competitor=0.3 complain=0.39 complaint=0.27 complet=0.07 comput=-0.19 concert=0.16
    condit=-0.34 confirm=-0.43 consumpt=-0.41 contest=0.19 contract=0.65 copy=0.89 cost=-0.08
    could=-0.23 council=0.41 count=-0.19 counter=0.25 cours=-0.5 crew=-0.26 customer=-0.11
    cut=-0.09 daily=0.34 dat=-1.02 data=0.64 databas=0.47 day=-1.36 deadlin=-0.4 dearer=0.43
    decid=0.36 decis=0.71 declin=-0.37 defect=0.19 delay=0.2 delet=0.39 deliver=-0.37
    delivery=-0.07 department=-1.35 deployment=0.35 deposit=-0.24 depth=-0.51 desk=-0.08
    distanc=-0.42 do=0.08 doctor=0.28 document=-0.31 doe=-0.51 don=-0.52 down=0.27 draw=0.09
    driver=0.95 drop=0.41 due=-0.89 dur=0.21 each=-1.13 electricity=-0.48 email=0.26 employe=0.6
    empty=-0.31 end=0.05 entry=0.17 equipment=-0.3 event=0.29 every=0.17 everybody=0.07
    exhibit=-0.18 exist=0.27 expiry=-0.09 eye=0.05 fail=0.46 fair=-0.13 fak=0.73 fault=-0.14
    fee=-0.22 field=-0.12 fil=0.75 fill=0.38 film=-0.28 financ=-0.44 find=0.17 fir=-0.95 firm=0.23
    first=0.27 fish=0.44 fiv=-0.13 flat=0.64 fleet=-0.47 floor=0.11 follow=-0.06 food=0.48
    for=-0.37 forecast=-0.76 foreign=0.31 form=0.19 found=-0.32 fram=-0.58 fre=-1.19 friday=-0.06
    friend=0.5 from=0.25 full=-0.44 gam=-0.25 gap=-0.38 garden=-0.36 gat=-0.11 generat=0.39
    get=0.33 giv=0.59 given=-0.44 goe=0.57 good=0.55 governanc=0.95 grad=-0.27 grant=0.31
    greenhous=-0.18 group=-0.64 guard=0.38 guest=0.81 guid=-0.43 had=-0.08 half=0.42 hall=-0.38
    hand=-0.35 hang=-0.12 harvest=-0.5 has=0.13 hav=-0.09 heat=-0.43 help=0.56 hid=0.41
    history=0.13 hold=-0.09 holiday=-0.26 hom=0.88 host=0.47 hotel=0.08 hour=-0.59 hous=0.12
    how=-0.91 idea=-0.24 idl=0.49 if=0.25 ignor=0.26 in=-0.41 incom=-0.44 inspect=-0.6 instanc=0.43
    instruct=0.17 instrument=-0.97 intent=0.95 into=0.25 invent=0.48 inventory=-0.57 invoic=0.12
    is=0.24 it=0.08 item=-0.44 its=-0.29 itself=0.41 job=-0.58 joinery=-0.14 keep=-0.35 kept=-0.37
    key=0.19 kilo=-0.23 kilometr=-0.59 kitchen=-0.11 know=0.21 lab=-0.44 label=0.62 lamp=-0.24
    languag=-0.57 laptop=0.22 last=-0.14 lat=-0.38 lead=-0.55 leader=0.36 leagu=-1.01 leak=-0.31
    leas=0.48 leav=0.36 left=-0.49 length=-0.71 lesson=-0.65 let=0.68 level=-0.43 library=-0.68
    licenc=-0.5 lift=0.16 light=-0.36 lik=0.23 limit=-0.27 list=-0.16 litr=-0.52 littl=0.34
    liv=0.35 load=-0.56 loan=-0.85 login=0.36 long=-0.22 longer=0.26 look=1.09 los=-0.08 lost=-0.56
    low=0.67 lower=0.37 machin=-0.06 mail=0.54 mak=0.22 manag=-0.24 management=0.09 manager=0.37
    many=-0.33 map=0.44 mark=-0.25 market=-0.34 match=-0.35 measur=-0.58 meet=0.31 member=0.57
    ment=0.18 menu=-0.71 messag=0.16 meter=-0.37 metr=-0.67 milk=0.57 minut=-0.39 miss=-0.55
    model=-0.2 moistur=-0.56 month=0.22 monthly=-0.62 mor=0.22 morn=0.2 most=-0.29 mother=0.11
    much=-0.17 museum=-0.53 music=-0.37 my=0.34 nam=0.86 neighbour=0.84 never=0.41 new=0.7
    next=-0.36 night=0.43 nightly=0.4 no=0.5 nobody=0.39 nois=0.31 noon=0.06 not=0.26 noth=0.55
    now=0.13 number=-0.86 object=-0.25 occupancy=-0.36 of=-0.64 off=0.65 offer=0.09 offic=-0.15
    often=0.13 old=0.7 on=-0.36 onc=-0.46 one=0.17 only=1.14 open=-0.6 or=-1.2 order=-0.94
    other=0.66 our=-0.1 out=-0.61 over=-0.11 overdu=-0.35 overview=-0.65 own=0.37 owner=0.11
    pag=0.21 paid=-0.57 paint=-0.28 pair=0.13 pallet=-0.81 paper=-0.26 parcel=0.77 park=-0.36
    part=-0.66 pass=-0.11 password=0.43 past=-0.11 pay=0.44 peopl=0.58 per=-2.03 petit=0.3
    phon=0.26 piec=-0.32 pill=0.42 plac=-0.36 plan=-0.93 plant=0.14 play=-0.38 plot=-0.36
    point=-0.46 policy=0.39 pool=-0.2 port=-0.05 posit=-0.45 post=0.34 practic=-0.29 pre=-0.49
    press=0.33 pric=-0.53 print=0.38 printer=-0.13 privat=0.52 product=-0.86 programm=-0.34
    project=-0.66 pump=-0.28 pupil=0.71 purchas=-0.09 purpos=0.31 put=0.31 quality=-0.38
    quarter=-0.46 quietly=0.58 rank=0.36 reach=-0.33 read=0.11 reader=0.33 really=-0.26 recip=-0.13
    record=-0.35 region=0.9 register=-0.45 reject=0.3 releas=-0.16 remark=-0.18 remov=0.37
    renewal=-0.35 rental=0.22 repair=-0.26 report=0.13 request=-0.53 reserv=-0.4 reservat=-0.2
    resolut=0.22 rest=-0.36 result=-0.81 return=-0.85 review=0.47 reviewer=0.9 rid=0.23 right=0.27
    ring=0.15 rival=0.48 roof=-0.56 room=-0.42 rotat=-0.41 rout=-0.27 row=-0.05 run=0.38
    safety=0.14 sal=0.62 sam=-0.17 sampl=-0.53 sav=0.48 say=0.83 scan=0.16 school=-0.79 scor=0.95
    screen=0.27 search=-0.06 season=-0.31 seat=-0.34 second=0.38 see=-0.31 seeker=0.28 seen=-0.62
    sell=0.62 send=0.52 sent=-0.17 server=-0.28 servic=-0.37 sess=-0.23 set=-0.13 severity=-0.24
    shar=-0.24 sheet=0.22 shelv=-0.28 shift=-0.56 ship=-0.44 shop=-0.62 shorten=0.52 should=0.23
    show=-0.27 sign=-0.23 signatur=0.85 sinc=-0.99 sit=-0.5 siz=-0.89 skip=-0.1 so=-0.4
    softwar=-0.22 soil=-0.11 somebody=-0.15 soon=-0.17 sort=0.17 sound=0.22 spar=-0.4 speak=0.3
    specy=-0.27 staff=0.58 stag=-0.56 stand=-0.18 start=-0.21 stat=-0.68 stay=0.37 still=0.11
    stock=0.29 stop=-0.31 stor=-0.72 storag=0.06 stream=-0.21 street=0.05 subscript=-0.52
    suggest=-0.36 sum=-0.15 summer=-0.14 supplier=-0.08 support=-0.08 swap=-0.12 swim=-0.07
    switch=0.28 system=-0.18 tabl=-1.05 tag=-0.53 tak=-0.12 taken=0.37 talk=0.2 task=-0.11
    teacher=-0.39 team=-1.38 tell=0.28 temperatur=-0.71 ten=-0.39 tenant=0.51 tennis=-0.06
    term=-0.27 test=0.28 that=0.67 the=0.45 theatr=-0.42 their=0.64 them=0.67 ther=-0.22 they=-0.32
    this=1.08 thos=-0.11 thousand=0.4 thre=-0.66 threshold=0.28 through=-0.24 tick=0.27 ticket=0.5
    tidy=0.33 tim=-0.73 timetabl=-0.41 to=0.44 tomorrow=-0.13 tonn=-0.8 too=0.54 tool=-0.78
    total=0.63 town=0.3 track=-0.18 trad=-0.93 trail=-0.17 train=-0.12 travel=-0.08 treat=0.18
    trial=-0.07 trolley=-0.39 turn=-0.15 two=-0.68 typ=0.12 under=0.33 union=0.34 until=-0.09
    up=0.18 ups=-0.1 us=0.4 use=0.06 used=-0.31 user=0.31 valu=-0.2 van=-0.27 variety=-0.43
    vers=-0.27 villag=-0.19 visit=-0.22 visitor=0.38 voic=0.34 volum=-0.15 volunteer=-0.59 vot=0.55
    wait=-0.19 walk=-0.7 want=-0.22 ward=-0.54 was=-0.5 wast=-0.66 watch=0.27 water=-1.1 way=-0.67
    we=-0.68 web=0.12 week=0.35 weekday=-0.11 weekend=0.29 weekly=0.1 weight=-0.66 went=-0.11
    wer=-1.03 what=-0.93 when=-0.43 wher=-0.1 whether=-0.14 which=-0.31 who=0.4 whoever=0.67
    whom=0.06 win=-0.28 window=0.26 wish=-0.07 with=-0.92 within=-0.09 without=0.97 work=0.66
    worker=1.55 workshop=-0.53 would=-0.07 writ=0.69 yard=-0.18 year=-0.65 yearly=-0.34 yes=-0.11
    yesterday=0.19 yet=-0.42 yield=-0.4 youth=-0.72
"""
WEIGHTS: dict[str, float] = {
    name: float(weight) for name, weight in (entry.split("=") for entry in _TABLE.split())
}
