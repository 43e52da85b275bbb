"""Who gets what is free, and what is lent and taken back: the rules of the queue, pure and without a clock.

model      what the rules are told, and what they answer
past       what groups and people used, halved again and again as time passes; how often owners ask
lifetimes  how likely it is that something ends soon
policy     how patient and how generous the rules are
shares     guarantees and limits applied to what runs: who is owed something, who borrows
order      whose turn it is
places     on which machine something runs, so that large holes stay
coming     when room comes by itself
draining   on which machine room is kept for one that is overtaken
lending    how much of what is idle is lent
reclaims   who is told to give back, and when
standing   what a round leaves for what comes before the next one
rounds     one round over all that waits: `plan_round`
"""
