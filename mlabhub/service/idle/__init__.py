"""Servers that stand idle: watched all the time, judged each minute, warned, and stopped when nobody uses them.

watching   `Watch`: what is known of their use; with sources, further, storing and learning
steady     how long ago something was, by a clock that nobody sets
acts       what becomes durable, each a function of the projection
standing   where one launch stands: the verdict, and what it is made of
loop       `IdleLoop`: every minute, a verdict on each server, and what follows
delivery   a warning counts from when it reached its person
stopping   looked at once more, right before
dry        what a dry run would have stopped
desk       `IdleDesk`: for people, pages, command line and the agents in servers
looks      `IdleLooks`: launches that are over, the last day, and what administrators see
answers    what the API says of all that
"""
