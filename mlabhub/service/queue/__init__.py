"""The queue: who waits, whose turn it is, what follows.

scene      what the rules are told: machines, runs and waiters, made of the ledger and what there is
acts       what people do to entries: leave, change, move, take the nearest choice; each a function of the projection
asking     a launch is asked for: it starts now, waits, or is refused
rounds     one round made durable: starts, notices, what is taken back
restraint  for whom nobody is told again for a while, as others were told for them in vain
deadlines  how long a notice has to run still, whatever the wall clock does
hands      what is done at the hub after it is durable: start, stop
care       what became of what was started: used, given back, come to nothing; longest durations
loop       when rounds are made
"""
