"""What words weigh: above zero where plans were stopped, below where plain ones stand.

Made by ``python -m tests.governance.weigh`` from the labelled intents; not by hand.
"""

BASE = 1.36
LIMIT = 1.02  # a sentence above it is read by a person
_TABLE = """
    a=0.32 about=0.45 account=-0.32 actual=-0.37 address=0.53 after=0.71 again=0.09 against=-0.35
    age=-0.73 alert=0.24 alignment=0.48 all=0.4 allotment=-0.66 already=0.17 an=0.51 analys=-0.14
    analytic=0.34 and=-1.51 answer=0.45 applicant=0.45 approv=0.46 approval=0.77 are=-0.42
    articl=-0.54 as=0.97 ask=0.41 at=-0.87 audit=0.57 auto=0.15 averag=-0.53 away=-0.57 back=0.28
    bad=0.21 bank=0.32 barn=-0.21 batch=-0.93 battery=-0.84 be=0.37 bed=-0.25 been=-0.16 befor=0.61
    behalf=0.31 between=-0.92 bin=-0.25 board=-0.1 boat=-0.56 boiler=-0.44 book=-0.05 bottl=-0.45
    bought=-0.17 box=-0.45 branch=-0.36 break=0.66 broken=-0.51 budget=-0.8 build=0.2 bus=0.05
    button=0.32 by=-0.74 calendar=-0.33 calibrat=-0.47 caller=0.25 cam=-0.18 camera=0.61 can=0.16
    cannot=0.23 canteen=-0.78 card=0.29 cash=-0.25 catalogu=-0.48 category=-0.53 caus=-0.27
    centr=-0.52 challeng=-0.36 chang=-0.18 channel=-0.52 charg=-0.51 chart=-0.34 chat=0.51
    check=-0.45 checklist=-0.65 children=0.43 citizen=0.65 class=-0.65 clean=0.35 climb=-0.37
    clinic=-0.3 clos=-0.71 club=-0.82 colleagu=0.17 com=0.61 comment=-0.29 company=0.25 compar=-0.7
    competitor=0.33 complaint=0.13 complet=0.07 comput=-0.19 concert=0.23 condit=-0.4 confirm=-0.38
    consumpt=-0.42 contract=0.48 copy=0.78 could=-0.29 council=0.39 count=-0.16 counter=0.21
    cours=-0.53 crew=-0.32 customer=-0.12 cut=-0.07 daily=0.32 dat=-0.88 data=0.65 databas=0.44
    day=-1.04 deadlin=-0.37 decid=0.38 decis=0.59 declin=-0.33 defect=0.21 delay=0.18 delet=0.4
    deliver=-0.41 delivery=-0.21 department=-1.25 deployment=0.29 deposit=-0.22 depth=-0.52
    desk=-0.38 distanc=-0.41 doctor=0.27 document=-0.32 doe=-0.17 down=0.35 draw=-0.12 driver=0.79
    drop=0.3 due=-0.92 dur=0.23 each=-0.68 electricity=-0.48 email=0.29 employe=0.54 empty=-0.24
    end=-0.07 enter=-0.16 entry=0.17 equipment=-0.28 even=-0.12 event=0.22 every=0.79 exhibit=-0.14
    exist=0.23 expiry=-0.1 eye=0.11 fail=0.41 fak=0.84 fault=-0.12 fee=-0.25 field=-0.14 figur=0.09
    fil=0.67 fill=0.39 find=0.13 fir=-0.81 first=0.12 fiv=-0.07 flat=0.57 fleet=-0.49 floor=0.1
    follow=-0.06 food=0.41 for=-0.45 forecast=-0.74 foreign=0.3 found=-0.28 fram=-0.61 fre=-1.08
    friday=-0.08 friend=0.49 from=0.31 full=-0.41 gap=-0.39 garden=-0.34 gat=-0.05 generat=0.38
    giv=0.47 given=-0.47 go=0.07 goe=0.18 good=0.27 governanc=0.89 grad=-0.24 grant=0.28
    greenhous=-0.16 group=-0.56 guard=0.43 guest=0.77 had=-0.09 half=0.18 hall=-0.36 hand=-0.49
    harvest=-0.46 has=0.18 hav=-0.1 heat=-0.4 help=0.56 hid=0.47 holiday=-0.21 hom=0.8 host=0.41
    hotel=-0.07 hour=-0.6 hous=0.42 how=-0.93 idea=-0.25 idl=0.43 if=0.2 ignor=0.25 in=-0.45
    incom=-0.43 inspect=-0.64 instanc=0.5 instruct=0.15 instrument=-0.87 intent=0.99 into=0.13
    invent=0.56 inventory=-0.58 invoic=0.26 is=0.23 it=0.3 item=-0.41 its=0.27 itself=0.39
    job=-0.42 keep=-0.4 kept=-0.34 key=0.28 kilo=-0.31 kilometr=-0.39 know=0.09 label=0.65
    languag=-0.6 laptop=0.17 last=-0.37 lat=-0.39 lead=-0.57 leagu=-0.9 leak=-0.23 leas=0.51
    leav=0.25 left=-0.55 length=-0.67 lesson=-0.65 let=0.65 level=-0.32 library=-0.66 licenc=-0.47
    lift=0.05 light=-0.34 lik=0.38 limit=-0.26 lin=0.19 litr=-0.49 load=-0.49 loan=-0.76 log=-0.12
    login=0.25 long=-0.53 look=1.05 los=-0.11 lost=-0.54 lower=0.36 machin=-0.07 mail=0.53 mak=0.19
    manag=-0.19 management=0.09 manager=0.42 many=-0.41 map=0.39 mark=-0.32 market=-0.32 match=-0.4
    measur=-0.42 meet=0.27 member=0.49 ment=0.12 menu=-0.73 messag=0.16 meter=-0.29 metr=-0.62
    milk=0.53 minut=-0.57 miss=-0.55 model=-0.16 moistur=-0.53 month=0.26 monthly=-0.68 morn=0.26
    most=-0.39 mother=0.08 mov=0.07 museum=-0.38 music=-0.35 must=-0.08 my=0.28 nam=0.67 need=0.4
    neighbour=0.86 never=0.29 new=0.74 next=-0.33 night=0.35 nightly=0.4 no=0.56 nobody=0.17
    not=0.17 noth=0.47 now=0.14 number=-0.81 object=-0.26 occupancy=-0.3 of=-0.58 off=0.37
    offer=0.19 offic=-0.17 often=0.25 old=0.77 on=-0.4 onc=-0.44 one=0.07 only=1.15 open=-0.6
    or=-1.21 order=-0.95 other=0.67 our=-0.16 out=-0.62 over=-0.24 overdu=-0.32 overview=-0.56
    own=0.31 pag=0.18 paid=-0.61 paint=-0.22 pair=0.13 pallet=-0.43 paper=-0.56 parcel=0.8
    parent=-0.06 park=-0.34 part=-0.63 pass=-0.07 password=0.33 past=-0.13 pay=0.33 peopl=0.56
    per=-2 phon=0.17 piec=-0.35 pill=0.35 plac=-0.3 plan=-1.02 plant=0.22 play=-0.4 plot=-0.34
    point=-0.47 policy=0.42 pool=-0.24 port=-0.09 posit=-0.46 post=0.37 practic=-0.46 pre=-0.41
    pric=-0.61 print=0.48 printer=-0.17 privat=0.57 product=-0.93 programm=-0.34 project=-0.53
    public=0.07 pump=-0.28 pupil=0.54 purpos=0.29 put=0.39 quality=-0.4 quarter=-0.48 quest=0.3
    quietly=0.48 rank=0.39 reach=-0.35 read=0.15 reader=0.33 reason=0.06 recip=-0.07 record=-0.06
    region=0.93 register=-0.3 reject=0.3 releas=-0.12 remark=-0.19 remov=0.35 renewal=-0.24
    rental=0.2 repair=-0.35 report=0.32 request=-0.68 reserv=-0.36 reservat=-0.16 resolut=0.28
    rest=-0.31 result=-0.76 return=-0.82 revenu=-0.11 review=0.51 reviewer=0.7 rid=0.21 right=0.17
    ring=0.1 rival=0.43 roof=-0.55 room=-0.42 rotat=-0.45 round=-0.06 rout=-0.32 run=0.24
    safety=0.08 sal=0.59 sam=0.09 sampl=-0.25 sav=0.41 say=0.9 scal=-0.17 scan=0.16 school=-0.69
    scor=0.77 screen=0.16 search=0.07 season=-0.34 seat=-0.31 second=0.4 see=-0.14 seeker=0.17
    seen=-0.59 sell=0.48 send=0.52 server=-0.24 servic=-0.18 sess=-0.25 set=-0.14 severity=-0.24
    shar=-0.14 sheet=0.1 shelv=-0.31 shift=-0.91 ship=-0.35 shop=-0.49 shorten=0.5 sign=-0.26
    signatur=0.74 sinc=-1.05 sit=-0.36 siz=-0.83 skip=-0.06 so=0.13 softwar=-0.18 soil=-0.12
    somebody=-0.17 soon=-0.1 sort=0.2 sound=0.2 spar=-0.38 specy=-0.22 staff=0.52 stag=-0.56
    stand=-0.24 start=-0.21 stat=-0.65 stay=0.37 still=-0.07 stock=0.34 stop=-0.33 stor=-0.61
    stream=-0.2 subscript=-0.58 sum=-0.19 swap=-0.09 swim=-0.07 switch=0.34 system=-0.41 tabl=-0.98
    tag=-0.53 tak=0.09 taken=0.36 teacher=-0.35 team=-1.36 tell=0.29 temperatur=-0.69 ten=-0.44
    tenant=0.47 tennis=-0.07 term=-0.3 test=-0.12 that=1.21 the=0.48 theatr=-0.38 their=0.59
    them=0.59 they=-0.35 this=0.99 thos=0.12 thousand=0.43 thre=-0.51 threshold=0.3 through=-0.31
    tick=0.24 ticket=0.58 tim=-0.79 timetabl=-0.41 to=0.42 tonn=-0.69 tool=-0.63 total=0.6
    town=0.36 track=-0.17 trad=-0.96 trail=-0.15 travel=-0.05 treat=0.2 trial=-0.07 trolley=-0.42
    turn=-0.06 two=-0.84 typ=0.09 under=0.4 union=0.34 up=0.32 ups=-0.13 us=0.46 used=-0.29
    user=0.28 valu=-0.16 van=-0.2 variety=-0.47 visitor=0.36 voic=0.37 volum=-0.19 vot=0.53
    wait=-0.23 want=-0.38 ward=-0.5 was=-0.48 watch=0.21 water=-1.14 way=-0.4 we=-1.01 week=0.34
    weekend=0.3 weekly=0.11 weight=-0.57 went=-0.14 wer=-0.93 what=-0.81 when=-0.45 wher=-0.27
    whether=-0.1 which=-0.06 who=0.12 whoever=0.44 whom=0.08 win=-0.27 window=0.27 with=-0.76
    within=-0.05 without=0.9 work=0.7 worker=1.5 workshop=-0.4 writ=0.78 yard=-0.19 year=-1.04
    yearly=-0.33 yes=-0.11 yet=-0.47 yield=-0.21 youth=-0.64
"""
WEIGHTS: dict[str, float] = {
    name: float(weight) for name, weight in (entry.split("=") for entry in _TABLE.split())
}
